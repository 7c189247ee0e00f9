# SPDX-License-Identifier: Apache-2.0
"""Names of columns that say whose an event is and when it was, as logs have them; see `letters_of`."""

from __future__ import annotations

import re
from typing import Final

#: The user.
USER_NAMES: Final = frozenset((
    "user", "userid", "uid", "username", "customer", "customerid", "client", "clientid", "visitor", "visitorid",
    "member", "memberid", "buyer", "buyerid", "shopper", "shopperid", "account", "accountid", "person", "personid",
    "reviewer", "reviewerid", "device", "deviceid", "cookie", "cookieid", "household", "householdid"
))  # fmt: skip
#: The session, of logs without users.
SESSION_NAMES: Final = frozenset((
    "session", "sessionid", "usersession", "visit", "visitid", "basket", "basketid"
))  # fmt: skip
#: The time.
TIME_NAMES: Final = frozenset((
    "timestamp", "time", "when", "date", "datetime", "ts", "eventtime", "eventdate", "eventtimestamp", "createdat",
    "created", "unixtime", "unixreviewtime", "timestampms", "orderdate", "ordertime", "invoicedate", "purchasedat",
    "purchasedate", "viewedat", "clickedat", "occurredat"
))  # fmt: skip


def letters_of(name: str) -> str:
    """The letters a to z of a column's name, in lower case: what names are compared by."""
    return re.sub(r"[^a-z]", "", name.lower())
