"""What an application imports: observe a call, report what became of it."""
