"""The plugins that ship inside the core, written against `fuki_build.hooks` like anyone's."""
