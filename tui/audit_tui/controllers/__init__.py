"""What the keys of the main screen do: plain classes, each given the session, the table and whatever else it needs."""
