"""SERVE: the live views: a web page on this machine, and a widget in a notebook."""
