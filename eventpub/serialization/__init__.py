"""Events -> bytes: Thrift structs and mappings as JSON, and back."""
