"""Values of VR DT as texts whose order is that of time (PS3.5 Table 6.2-1)."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone

_DATETIME = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?)?)?"
    r"(?:([+-])(\d\d)(\d\d))?"
)


def read_datetime(text: str, *, latest: bool = False) -> str | None:
    """Give a DT in UTC as ``YYYYMMDDHHMMSS.FFFFFF``; None where it is none.

    What it leaves open becomes its earliest or latest. One without an offset is taken as UTC: in
    which zone it was written is not told by the value.
    """
    match = _DATETIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        months = int(month or (12 if latest else 1))
        days = int(day or (monthrange(int(year), months)[1] if latest else 1))
        moment = datetime(
            int(year),
            months,
            days,
            int(hour or (23 if latest else 0)),
            int(minute or (59 if latest else 0)),
            min(int(second or (59 if latest else 0)), 59),  # a leap second ends its minute
            int((fraction or "").ljust(6, "9" if latest else "0")),
            tzinfo=_zone(sign, hours, minutes),
        )
        return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f").zfill(21)
    except (ValueError, OverflowError):
        return None


def split_range(text: str) -> tuple[str, str] | None:
    """Split a range of DT at its hyphen; None when the text is a single value.

    A hyphen and four digits up to 1200 behind a value are its offset from UTC (PS3.5 Table 6.2-1:
    offsets go from -1200 to +1400), also where nothing or another range follows.
    """
    for found in re.finditer("-", text):
        before, after = text[: found.start()], text[found.end() :]
        offset = re.match(r"(\d{4})(?!\d)", after)
        if before and offset is not None and int(offset[1]) <= 1200 and "-" not in before[1:]:
            continue
        return before, after
    return None


def _zone(sign: str | None, hours: str, minutes: str) -> timezone:
    if sign is None:
        return UTC
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)
