"""fuki in the place of ukify inside other image builders."""
