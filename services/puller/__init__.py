"""The puller: brings central's updates into the replica, one way; it cannot send."""
