"""Which hyperparameters matter, and how does knowing it make tuning faster?

One module an idea; see the README for the map from the papers to the modules.
"""

__version__ = "0.1.0"
