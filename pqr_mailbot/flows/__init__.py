"""Floor 3: mailbox to inbound row, inbound row to ticket and letters, outbox row to SMTP."""
