"""Live view of OpenBMS: Foxglove server with its layout, and the web page."""
