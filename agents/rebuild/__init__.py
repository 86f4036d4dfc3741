"""`revstream rebuild`: the tables folded anew from the log, and what that changes."""
