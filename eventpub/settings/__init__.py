"""Settings: declared once as fields, read from INI sections, checked, and refused with the reason."""
