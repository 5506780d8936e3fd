"""ukify's command line (262.1), for callers that know no other: translated to a recipe, and built like any."""
