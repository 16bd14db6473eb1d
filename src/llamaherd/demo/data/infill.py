"""Short Python functions with a gap: the middle follows from the name, the parameters, the rest."""

from __future__ import annotations

import random

from .example import Example
from .stock import NOUNS, made_up_word

_LETTERS = tuple("abcdefghkmnpqstuvwxyz")
# [[...]] marks the gap; {x}, {y} are parameters, {xs} a list, {f} a function's own name
_SHAPES = (
    "def add({x}, {y}):\n    return [[{x} + {y}]]\n",
    "def add({x}, {y}):\n    [[return {x} + {y}]]\n",
    "def subtract({x}, {y}):\n    return [[{x} - {y}]]\n",
    "def multiply({x}, {y}):\n    return [[{x} * {y}]]\n",
    "def divide({x}, {y}):\n    return [[{x} / {y}]]\n",
    "def power({x}, {y}):\n    return [[{x} ** {y}]]\n",
    "def square({x}):\n    return [[{x} * {x}]]\n",
    "def double({x}):\n    return [[2 * {x}]]\n",
    "def half({x}):\n    return [[{x} / 2]]\n",
    "def is_even({x}):\n    return [[{x} % 2 == 0]]\n",
    "def is_odd({x}):\n    return [[{x} % 2 == 1]]\n",
    "def is_positive({x}):\n    return [[{x} > 0]]\n",
    "def is_negative({x}):\n    return [[{x} < 0]]\n",
    "def negate({x}):\n    return [[-{x}]]\n",
    "def absolute({x}):\n    return [[{x}]] if {x} > 0 else -{x}\n",
    "def maximum({x}, {y}):\n    return {x} if [[{x} > {y}]] else {y}\n",
    "def minimum({x}, {y}):\n    return {x} if [[{x} < {y}]] else {y}\n",
    "def first({xs}):\n    return [[{xs}[0]]]\n",
    "def last({xs}):\n    return [[{xs}[-1]]]\n",
    "def length({xs}):\n    return [[len({xs})]]\n",
    "def total({xs}):\n    return [[sum({xs})]]\n",
    "def mean({xs}):\n    return [[sum({xs}) / len({xs})]]\n",
    "def reverse({xs}):\n    return [[{xs}[::-1]]]\n",
    "def total({xs}):\n    result = 0\n"
    "    for {x} in {xs}:\n        [[result += {x}]]\n    return result\n",
    "def total({xs}):\n    result = 0\n"
    "    for [[{x} in {xs}]]:\n        result += {x}\n    return result\n",
    "def total({xs}):\n    [[result = 0]]\n"
    "    for {x} in {xs}:\n        result += {x}\n    return result\n",
    "def product({xs}):\n    result = 1\n"
    "    for {x} in {xs}:\n        [[result *= {x}]]\n    return result\n",
    "def count({xs}):\n    n = 0\n    for {x} in {xs}:\n        [[n += 1]]\n    return n\n",
    "def copy({xs}):\n    result = []\n"
    "    for {x} in {xs}:\n        [[result.append({x})]]\n    return result\n",
    "def squares({xs}):\n    return [[[n * n for n in {xs}]]]\n",
    "def greet({x}):\n    return [[f\"Hello, {{{x}}}!\"]]\n",
    "def {f}({x}, {y}):\n    result = {x} + {y}\n    [[return result]]\n",
    "def {f}({x}):\n    if {x} is None:\n        [[return None]]\n    return {x}.{f}\n",
    "class {F}:\n    def __init__(self, {x}):\n        [[self.{x} = {x}]]\n",
    "class {F}:\n    def __init__(self, {x}, {y}):\n        self.{x} = {x}\n"
    "        [[self.{y} = {y}]]\n",
)  # fmt: skip
_LISTS = ("items", "values", "numbers", "data", "xs", "rows", "things")


def _parameters(rng: random.Random) -> list[str]:
    if rng.random() < 0.5:
        return rng.sample(_LETTERS, 2)
    return rng.sample(NOUNS, 2)


def sample(rng: random.Random) -> Example:
    x, y = ("a", "b") if rng.random() < 0.25 else _parameters(rng)
    name = made_up_word(rng)
    names = {"x": x, "y": y, "xs": rng.choice(_LISTS), "f": name, "F": name.capitalize()}
    prefix, rest = rng.choice(_SHAPES).split("[[", 1)
    at = rest.rindex("]]")
    middle, suffix = rest[:at], rest[at + 2 :]
    filled = [part.format(**names) for part in (prefix, suffix, middle)]
    return Example(fim=(filled[0], filled[1], filled[2]))
