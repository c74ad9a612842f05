"""What every consumer needs before and after its own work; three small tables that both databases have.

accounts    who may speak for which school, in which role
answers     what an event was answered, so that the same event again gets the same answer
quarantine  what no handler could take, with its code, until a person replays or dismisses it
"""

from services.intake.accounts import Account, Accounts
from services.intake.answers import Answered, Answers
from services.intake.quarantine import Quarantine, Quarantined

__all__ = ["Account", "Accounts", "Answered", "Answers", "Quarantine", "Quarantined"]
