"""What the sidecar and the collector share as processes; applications never import it."""
