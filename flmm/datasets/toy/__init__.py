"""The built-in toy world: scenes, their language, and writers of real file formats."""
