"""The desk at work before a newcomer's eyes: real servers on loopback, a real daemon, and days that go by."""

from pqr_mailbot.demo.story import show

__all__ = ["show"]
