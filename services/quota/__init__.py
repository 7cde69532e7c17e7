"""What may it cost: reserve, checkpoint, settle; usage."""
