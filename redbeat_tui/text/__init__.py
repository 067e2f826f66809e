"""Values as the console shows them, and as it reads them from what is typed. Pure."""
