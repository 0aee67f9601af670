"""What is durable: SQLite and the sequencer of the ledgers."""
