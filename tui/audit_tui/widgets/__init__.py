"""The console's widgets, one a file, each with its messages, bindings and CSS."""
