"""Names, places and words to draw from, and made-up ones that no list holds."""

from __future__ import annotations

import random


def listed(words: str) -> list[str]:
    """The words of a line, as a list."""
    return words.split()


CITIES = listed(
    "Paris London Berlin Hanoi Tokyo Kyoto Lima Quito Oslo Rome Milan Cairo Delhi Seoul Osaka "
    "Porto Lyon Nice Bonn Basel Vienna Prague Dublin Boston Chicago Denver Austin Dallas "
    "Miami Sydney Perth Lagos Accra Nairobi Bogota Havana Manila Jakarta Bangkok Madrid "
    "Athens Sofia Riga Turin Naples Geneva Zurich Toronto Ottawa Calgary Munich Hamburg "
    "Seattle Lisbon Warsaw"
)
CITIES += [
    "Ho Chi Minh City", "New York", "San Francisco, CA", "San Francisco", "Los Angeles",
    "Da Nang", "Cape Town", "Mexico City", "São Paulo", "Buenos Aires", "Boston, MA", "Austin, TX",
    "Portland, OR", "Rio de Janeiro", "Hong Kong", "Tel Aviv",
]  # fmt: skip
CJK_CITIES = listed("东京 北京 上海 广州 深圳 台北 京都 大阪 東京 札幌 名古屋 横浜")
CITY_ALIASES = {
    "HCMC": "Ho Chi Minh City",
    "NYC": "New York",
    "SF": "San Francisco",
    "LA": "Los Angeles",
    "CDMX": "Mexico City",
    "HK": "Hong Kong",
}
NAMES = listed(
    "Ada Alan Grace Linus Guido Barbara Donald Edsger Erik Maria Lucas Emma Noah Olivia Liam "
    "Mia Ethan Zoe Ivan Olga Kenji Yuki Wei Fatima Omar Aisha Pedro Lucia Hugo Anna Tom Sara "
    "Nils Ines Rosa Felix Clara Boris Nina Alice Bob Carol Dave Eve Peter Paul Julia David "
    "Laura Sam"
)
CJK_NAMES = listed(
    "王伟 李娜 张敏 刘洋 陈静 杨光 赵丽 黄强 周杰 吴芳 徐明 孙红 田中 鈴木 佐藤 高橋 小林 山本 "
    "渡辺 さくら ゆい はると そら ひなた けんじ あおい たろう はなこ 健太 太郎 花子 美咲 大輔"
)
_CJK_CHARS = (
    "王李张刘陈杨赵黄周吴徐孙马朱胡林郭何高罗伟娜敏静丽强杰芳明红军平光华国文海天云龙"
    "田中鈴木佐藤高橋小林山本渡辺加伊川村松井健太郎花子美咲大輔一二三東京京都北西南上下"
    "你好啊集团公司科技新世界电子商大学食品"
)
_KANA = "こんにちはさくらゆいそうたけんあおひなたろみかきくけせてとのふまむめもやよらりるれわを"
_CJK_ENDINGS = ("集团", "公司", "科技", "株式会社", "会社", "商店", "さん", "")
COLORS = listed("red green blue yellow black white purple orange pink brown")
WORDS = listed(
    "river stone cloud garden window silver forest market engine paper summer winter bridge "
    "candle planet music coffee violet copper marble thunder meadow harbor lantern pizza tea "
    "bread milk cheese apple banana laptop phone chair mirror ticket guitar piano rocket "
    "robot"
)
JOBS = listed(
    "baker teacher doctor nurse pilot farmer lawyer painter singer writer plumber engineer "
    "chef driver dentist sailor"
)
VERBS = listed(
    "get set find list create delete update send book search convert compute check open close "
    "start stop count translate rename read write play move show add remove order call lock"
)
NOUNS = listed(
    "time price stock user order file photo song movie flight hotel table recipe note task "
    "event message email ticket city country number score status report invoice account lamp "
    "door room car train bus color word title page customer product weather alarm camera"
)
_ONSETS = listed("b br c ch d dr f fl g gl gr h j k kl l m n p pl qu r s sh sk st t tr v w x z")
_VOWELS = listed("a e i o u ai ee oo ou")
_CODAS = ["", "", "", "n", "r", "s", "l", "x", "m", "k", "ng", "t"]


def made_up_word(rng: random.Random) -> str:
    """A pronounceable word such as "grolix"."""
    syllables = rng.choice((1, 2, 2, 3))
    parts = [
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(syllables)
    ]
    return "".join(parts)


def cjk_name(rng: random.Random) -> str:
    """A Chinese or Japanese name of a person or a company, listed or made up."""
    if rng.random() < 0.4:
        return rng.choice(CJK_NAMES)
    chars = _CJK_CHARS if rng.random() < 0.6 else _KANA
    stem = "".join(rng.choice(chars) for _ in range(rng.choice((2, 2, 3, 3, 4, 5))))
    return stem + rng.choice(_CJK_ENDINGS)


def person(rng: random.Random) -> str:
    """A name: listed, made up, of two words, or in Chinese or Japanese script."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(NAMES)
    if kind < 0.6:
        return made_up_word(rng).capitalize()
    if kind < 0.75:
        return f"{rng.choice(NAMES)} {made_up_word(rng).capitalize()}"
    return cjk_name(rng)


def city(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.75:
        return rng.choice(CITIES)
    return made_up_word(rng).capitalize() if kind < 0.88 else rng.choice(CJK_CITIES)


def word(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(WORDS)
    if kind < 0.8:
        return made_up_word(rng)
    return f"{rng.choice(COLORS)} {rng.choice(WORDS)}"


def integer(rng: random.Random) -> int:
    """Mostly small numbers, up to four digits."""
    return rng.randrange(rng.choice((10, 10, 100, 100, 1000, 10000)))
