"""Side-by-side measurements of this daemon and audit-stream 0.1.0; see README.md."""
