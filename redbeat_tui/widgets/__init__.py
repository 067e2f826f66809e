"""The widgets of the console, one a module, their messages nested in them."""
