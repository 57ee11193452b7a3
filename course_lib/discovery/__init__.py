"""Who is there: instances, the instancer that learns of them, the endpointer that connects them."""
