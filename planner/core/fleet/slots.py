"""How full servers of equal places may be so that few requests wait long for one: M/M/c. Pure.

Requests come at random, stay for a time that is exponential about its mean, and wait in one line while all places are
taken (Erlang 1917; Kleinrock, Queueing Systems 1, 1975, section 3.5). With an offered load of a places out of c,

    P(wait) = B / (1 - a/c (1 - B)),  B the loss of a system without a line,  P(wait > t) = P(wait) e^(-(c - a) t / S)

Lengths of real answers vary more, and balancers do not keep one line: what comes out is a little high near full load.
"""

from math import exp

_HALVINGS = 40
"""Steps to the largest load: known to rounding."""


def chance_of_waiting(places: int, load: float) -> float:
    """The share of requests that find all places taken. load: places offered, from 0 to below all of them."""
    loss = 1.0
    for place in range(1, places + 1):
        loss = load * loss / (place + load * loss)
    return loss / (1 - load / places * (1 - loss))


def fullest(places: int, stay: float, wait: float, share: float) -> float:
    """The largest share of the places in use at which a share of requests waits no longer than a time.

    stay: mean time that a request has a place; wait: as long as it may wait for one, in the same unit.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        load = middle * places
        late = chance_of_waiting(places, load) * exp(-(places - load) * wait / stay)
        low, high = (middle, high) if late <= 1 - share else (low, middle)
    return low
