"""pqr_mailbot: a customer-service desk that lives entirely in a mailbox."""

__version__ = "0.1.0"
