from proxyd.supervisor.backoff import LONGEST_DELAY, STABLE, Backoff


def test_the_first_replacement_is_immediate_then_it_takes_longer_and_longer():
    backoff = Backoff()
    delays = [backoff.died(100.0, 0.5) for _ in range(12)]
    assert delays[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == LONGEST_DELAY
    assert backoff.not_before == 100.0 + LONGEST_DELAY


def test_what_lived_long_enough_starts_anew():
    backoff = Backoff()
    for _ in range(5):
        backoff.died(0.0, 0.1)
    assert backoff.died(50.0, STABLE) == 0.0
    assert backoff.died(51.0, 1.0) == 0.1


def test_a_thousand_deaths_do_not_overflow():
    backoff = Backoff()
    for _ in range(1100):
        delay = backoff.died(0.0, 0.0)
    assert delay == LONGEST_DELAY
