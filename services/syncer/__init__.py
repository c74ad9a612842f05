"""The syncer: makes replica and central equal, both ways, and proves it with a receipt."""
