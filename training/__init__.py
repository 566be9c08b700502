"""How weights for the compact network are made, from any folder of labelled pictures."""
