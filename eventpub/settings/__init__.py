"""Settings: declared once as fields, read from INI sections, checked; refused with the reason."""
