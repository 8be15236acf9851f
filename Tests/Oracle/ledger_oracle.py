"""Random trade histories and what they come to, in exact fractions.

Written from the venues' rules alone, so that it can disagree with the suite:

* A contract pays one dollar if its outcome happens and nothing if the other does; a market may also settle at any
  value v of YES from 0 to 1, where YES pays v and NO pays 1 - v.
* The venue nets: one YES and one NO of the same market are a dollar, paid at once. Giving up an outcome that is not
  held is taking the other one at one dollar less the price.
* Fees: rate * C * P * (1 - P) of the taker, rounded up once per order. Kalshi 7 %, to the cent where the order traded
  whole contracts and to 1/100 cent where it traded a fraction; the maker pays nothing. Polymarket charges by category
  and rounds up to 1/100000 dollar. What an order was charged is never given back.
* What closes has cost its share of what is held (average cost), rounded down to a millionth of a dollar.

Contracts of either outcome are kept in a purse of their own and paired off afterwards; the suite keeps one signed
number. Each line of the output is a record of words:

  history N
  order SCHEDULE ROLE
  fill OUTCOME ACTION PRICE COUNT FEE      price in dollars, count in contracts, expected fee in dollars
  state NET COST REALISED FEES             expected after the order: contracts of YES, dollars
  end VALUE REALISED FEES CASH             settled at VALUE of YES; CASH is what was gained or lost in all
"""

import random
import sys
from fractions import Fraction as F
from math import ceil, floor

POLYMARKET = {"crypto": "0.07", "sports": "0.03", "politics": "0.04", "economics": "0.05", "geopolitics": "0"}
MICRO = 1_000_000


def up(amount, unit):
    return ceil(amount / unit) * unit


def order_fee(schedule, role, parts):
    """Of everything that an order has traded so far; parts are (price, count)."""
    if role == "maker":
        return F(0)
    rate = F("0.07") if schedule == "kalshi" else F(POLYMARKET[schedule])
    exact = sum((rate * count * price * (1 - price) for price, count in parts), F(0))
    if schedule != "kalshi":
        return up(exact, F(1, 100_000))
    whole = sum((count for _, count in parts), F(0)).denominator == 1
    return up(exact, F(1, 100) if whole else F(1, 10_000))


class Purse:
    """Contracts of one outcome, and what they have cost."""

    def __init__(self):
        self.count = F(0)
        self.cost = F(0)

    def put(self, count, cost):
        self.count += count
        self.cost += cost

    def take(self, count):
        """The cost of what is taken out."""
        if count == self.count:
            share = self.cost
        else:
            share = F(floor(self.cost * count / self.count * MICRO), MICRO)
        self.count -= count
        self.cost -= share
        return share


class Account:
    def __init__(self):
        self.purses = {"yes": Purse(), "no": Purse()}
        self.cash = F(0)
        self.realised = F(0)
        self.fees = F(0)

    def fill(self, outcome, action, price, count, fee):
        self.cash -= fee
        self.fees += fee
        other = "no" if outcome == "yes" else "yes"
        if action == "sell":
            held = min(count, self.purses[outcome].count)
            if held:
                self.cash += held * price
                self.realised += held * price - self.purses[outcome].take(held)
            if count > held:
                self.buy(other, outcome, 1 - price, count - held)
        else:
            self.buy(outcome, other, price, count)

    def buy(self, outcome, other, price, count):
        self.cash -= price * count
        paired = min(count, self.purses[other].count)
        if paired:
            self.cash += paired
            self.realised += paired * (1 - price) - self.purses[other].take(paired)
        if count > paired:
            self.purses[outcome].put(count - paired, price * (count - paired))

    def settle(self, value):
        for outcome, pays in (("yes", value), ("no", 1 - value)):
            purse = self.purses[outcome]
            if purse.count:
                self.cash += purse.count * pays
                self.realised += purse.count * pays - purse.take(purse.count)


def text(amount, decimals):
    scaled = amount * 10**decimals
    assert scaled.denominator == 1, f"{amount} has more than {decimals} decimals"
    sign, number = ("-" if scaled < 0 else ""), str(abs(scaled.numerator)).rjust(decimals + 1, "0")
    return f"{sign}{number[:-decimals]}.{number[-decimals:]}"


def count_of(dice):
    kind = dice.random()
    if kind < 0.5:
        return F(dice.randint(1, 100))
    return F(dice.randint(1, 5_000), 100) if kind < 0.95 else F(dice.randint(1, 1_000_000), 100)


def price_of(dice):
    return F(dice.randint(1, 99), 100) if dice.random() < 0.6 else F(dice.randint(1, 9_999), 10_000)


def history(number, dice, out):
    out.append(f"history {number}")
    account = Account()
    for _ in range(dice.randint(1, 25)):
        schedule = dice.choice(["kalshi", "kalshi", *POLYMARKET])
        role = "maker" if dice.random() < 0.15 else "taker"
        outcome, action = dice.choice(["yes", "no"]), dice.choice(["buy", "buy", "sell"])
        out.append(f"order {schedule} {role}")
        parts, charged = [], F(0)
        for _ in range(dice.choice([1, 1, 1, 2, 3, 5])):
            price, count = price_of(dice), count_of(dice)
            parts.append((price, count))
            fee = max(F(0), order_fee(schedule, role, parts) - charged)
            charged += fee
            account.fill(outcome, action, price, count, fee)
            out.append(f"fill {outcome} {action} {text(price, 4)} {text(count, 2)} {text(fee, 6)}")
        yes, no = account.purses["yes"], account.purses["no"]
        assert yes.count == 0 or no.count == 0
        out.append(
            f"state {text(yes.count - no.count, 2)} {text(yes.cost + no.cost, 6)} "
            f"{text(account.realised, 6)} {text(account.fees, 6)}"
        )
    value = dice.choice([F(0), F(1), F(dice.randint(0, 10_000), 10_000)])
    account.settle(value)
    out.append(
        f"end {text(value, 4)} {text(account.realised, 6)} {text(account.fees, 6)} {text(account.cash, 6)}"
    )


def main():
    histories, seed = int(sys.argv[1]), int(sys.argv[2])
    out = []
    for number in range(histories):
        history(number, random.Random(seed * 1_000_003 + number), out)
    print("\n".join(out))


if __name__ == "__main__":
    main()
