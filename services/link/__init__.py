"""A site's line to central: open, fetch, verify, and the workers that run sessions over it. There is no push here.

channel   requests and their answers
session   the steps that a sync and a pull share
statement whether central's word is true of what was asked, and signed
repair    where the two sides differ, and how that is mended
requests  how a request becomes a row
workers   takes requests, keeps leases, retries, and announces how sessions end
"""

from services.link.channel import Channel
from services.link.requests import take_request
from services.link.session import Failed, Progress, RecoverFirst, Refused, Session, Stale, Waiting
from services.link.workers import Workers

__all__ = [
    "Channel",
    "Failed",
    "Progress",
    "RecoverFirst",
    "Refused",
    "Session",
    "Stale",
    "Waiting",
    "Workers",
    "take_request",
]
