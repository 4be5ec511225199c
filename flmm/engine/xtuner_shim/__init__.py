"""The import hook that lets xtuner 0.2.0 run with transformers 5; `setup.py` installs it."""
