"""The named reasons of decisions about incidents, in words. One that has none here is shown as it is named."""

from driftbell.alerts.plain import plain

WORDS = {
    "opened": "opened",
    "same_series": "the same series fired again",
    "same_cause": "another series with the same cause joined",
    "same_fault": "the same fault elsewhere joined",
    "started_together": "a series that moved at the same time joined",
    "series_joined": "another series joined",
    "series_limit": "more series than are listed",
    "still_firing": "still there",
    "others_still_firing": "one series is back, others are still out",
    "settling": "back to usual, waiting whether it stays",
    "relapsed": "out again while it was watched",
    "reopened": "back after its end",
    "data_back": "calls arrive again",
    "no_data": "nothing to judge by any more",
    "all_series_cleared": "every series is back to usual",
    "closed_by_person": "closed by a person",
    "new_incident": "new incident",
    "severity_raised": "it became more severe",
    "spread_to_the_workflow": "it spread to the whole workflow",
    "more_segments": "more segments are concerned",
    "segments_named": "the segments are known now",
    "cause_changed": "the cause is another now",
    "over_before_it_was_told": "over before anybody was told",
    "no_data_before_it_was_told": "the data ended before anybody was told",
    "too_soon": "too soon after the message before",
    "told_within_a_day": "told within a day already",
    "no_route": "no route takes it",
    "storm_limit": "too many in this hour; counted in one message",
    "told_of_opening": "was told of its opening",
    "imported": "it is history that was imported",
    "acknowledged: seen": "acknowledged",
    "acknowledged: false_alarm": "called a false alarm",
    "acknowledged: new_normal": "called the new normal",
}


def words(reason: str | None, limit: int = 160) -> str:
    """A reason in words; several with commas or semicolons between are said one by one."""
    text = reason or ""
    if text in WORDS:
        return WORDS[text]
    for mark in ("; ", ", "):
        if mark in text:
            return plain(mark.join(words(part, limit) for part in text.split(mark)), limit)
    return plain(text.replace("_", " "), limit)


def sentence(reason: str | None, limit: int = 160) -> str:
    """`words`, beginning with a capital."""
    text = words(reason, limit)
    return text[:1].upper() + text[1:]
