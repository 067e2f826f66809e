"""The widgets of the console, one per module; the messages of a widget are nested in its class."""
