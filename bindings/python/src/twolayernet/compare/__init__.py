"""The article's two scripts in PyTorch beside this library: ``python -m twolayernet.compare``."""
