"""The lab: start services, load them, break them and watch them, in real or in virtual time.

Notebooks and tests may import anything from here; no room of the library does.
"""
