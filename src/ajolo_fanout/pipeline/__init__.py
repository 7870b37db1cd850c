"""From the end of a span to the backends: inbox, router and renditions."""
