"""When Prefect's schedules fire on nights when clocks change: why ours are cron, in UTC.

Europe/Berlin puts its clocks forward at 2:00 on 2027-03-28, and back at 3:00 on 2027-10-31.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule

BERLIN = "Europe/Berlin"
TABLE = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text(encoding="utf-8"))


def fires(schedule, start: datetime, count: int, zone: str = BERLIN) -> list[str]:
    """The next times, as clocks in `zone` show them."""
    found = asyncio.run(schedule.get_dates(n=count, start=start))
    return [moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M") for moment in found]


def test_a_job_at_half_past_two_comes_an_hour_early_on_the_night_without_it():
    nightly = CronSchedule(cron="30 2 * * *", timezone=BERLIN)
    start = datetime(2027, 3, 27, tzinfo=UTC)
    assert fires(nightly, start, 3) == ["27 02:30", "28 01:30", "29 02:30"]


def test_an_hourly_job_leaves_an_hour_out_on_the_night_that_has_one_twice():
    hourly = CronSchedule(cron="0 * * * *", timezone=BERLIN)
    start = datetime(2027, 10, 30, 23, tzinfo=UTC)
    found = asyncio.run(hourly.get_dates(n=3, start=start))
    assert [later - sooner for sooner, later in pairwise(found)] == [
        timedelta(hours=1),
        timedelta(hours=2),
    ]


def test_a_daily_interval_moves_by_an_hour_with_the_time_at_which_it_is_planned():
    """Planned before the change, it stays at 9; planned after it, the same days are at 10."""
    anchor = datetime(2027, 1, 1, 9, tzinfo=ZoneInfo(BERLIN))
    daily = IntervalSchedule(interval=timedelta(days=1), anchor_date=anchor, timezone=BERLIN)
    before = fires(daily, datetime(2027, 3, 26, 12, tzinfo=UTC), 5)
    after = fires(daily, datetime(2027, 3, 29, 12, tzinfo=UTC), 2)
    assert before[-2:] == ["30 09:00", "31 09:00"]
    assert after == ["30 10:00", "31 10:00"]


def test_in_utc_every_day_has_the_job_once_at_its_time():
    nightly = CronSchedule(cron="30 2 * * *", timezone="UTC")
    for start in (datetime(2027, 3, 27, tzinfo=UTC), datetime(2027, 10, 30, tzinfo=UTC)):
        days = [f"{(start + timedelta(days=n)):%d} 02:30" for n in range(4)]
        assert fires(nightly, start, 4, "UTC") == days


def test_every_schedule_of_ours_is_cron_in_utc():
    schedules = [one for row in TABLE["deployments"] for one in row.get("schedules", ())]
    assert len(schedules) >= 5
    assert [one for one in schedules if "cron" not in one or one.get("timezone") != "UTC"] == []
