"""What espeak is given to say: own templates, a word list, random numbers and random syllables. No foreign sentences.

The word list is SCOWL's small one as Debian packages it (wamerican-small, /usr/share/dict/american-english-small; its
licence is permissive, see its copyright file). English and Mandarin get most of the time, because most voices that
people bring speak one of them; 21 other languages keep the net from taking one language's sounds for all sounds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Random = np.random.Generator

WORD_LIST = Path("/usr/share/dict/american-english-small")
LONGEST_TEXT = 260
"""Characters; about 14 s."""

ENGLISH_VOICES = ("en-us",) * 5 + ("en",) * 3 + ("en-gb-x-rp", "en-us-nyc", "en-gb-scotland", "en-029")
PINYIN_VOICE = "cmn-latn-pinyin"
"""The Mandarin voice that reads syllables with tone digits: no characters to mispronounce."""
JAPANESE_VOICE = "ja"
ENGLISH_UP_TO, PINYIN_UP_TO, JAPANESE_UP_TO = 0.52, 0.76, 0.81
"""Cumulative shares of the languages; the rest is shared by the others."""


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_COMMON = _listed(
    "the a of to and in is it that you for we on with as are this be at from have or by not but what all were "
    "when your can there an each which she do how their if will up about out many then them these so some her "
    "would make like him into time has two more no way could people my than first been who its now down day did "
    "get come made may"
)
_LABIAL = _listed(
    "baba mama papa map bomb pump five move above maybe people probably remember number important company before "
    "because problem simple baby happy government public members build back best big policy economy environment "
    "families believe we want work would was you should together thank very much morning name welcome today about "
    "home hello video five moving vivid fever whoop womb boom beep"
)
"""Words with lip contact: those that a viewer sees fail first."""
GRID_WORDS: tuple[tuple[str, ...], ...] = (
    ("bin", "lay", "place", "set"),
    ("blue", "green", "red", "white"),
    ("at", "by", "in", "with"),
    tuple("abcdefghijklmnopqrstuvxyz"),
    _listed("zero one two three four five six seven eight nine"),
    ("again", "now", "please", "soon"),
)
"""The grammar of the GRID corpus (Cooke et al. 2006): command, colour, preposition, letter, digit, adverb."""

_INITIALS = (*_listed("b p m f d t n l g k h j q x zh ch sh r z c s y w"), "")
_FINALS = _listed("a o e ai ei ao ou an en ang eng ong i ia ie iao iu ian in iang ing u ua uo uai ui uan un uang")
_COMMON_PINYIN = _listed(
    "de shi yi bu le zai ren you wo ta zhe zhong da lai shang ge dao shuo men wei zi he ni di chu ye de hui jia "
    "ke xia guo hao kan sheng neng na qu xin mei wen dou duo qian gong ming tian bei jing ma ba"
)
_KANA = (
    "かきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわが"
    "ぎぐげござじずぜぞだでどばびぶべぼぱぴぷぺぽあいうえおん"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Syllables:
    """From what the words of a language are strung together."""

    onsets: tuple[str, ...] = ("",)
    rhymes: tuple[str, ...]
    codas: bool = False
    """Whether a syllable may end in n, r, s or l."""


def _latin(onsets: str, rhymes: str) -> Syllables:
    return Syllables(onsets=_units(onsets), rhymes=_units(rhymes), codas=True)


def _units(listed: str) -> tuple[str, ...]:
    """Take 'abc,sch' as a, b, c and sch."""
    letters, *longer = listed.split(",")
    return (*letters, *longer)


OTHER_LANGUAGES: dict[str, Syllables] = {
    "de": _latin("bdfghklmnprstwz,sch,ch,st,pf", "aeiouäöü,ei,au,ie"),
    "fr": _latin("bcdfgjlmnprstv,ch,qu", "aeiouéè,ou,on,an,eu,oi"),
    "es": _latin("bcdfglmnprstv,ch,ll,ñ", "aeiou"),
    "es-419": _latin("bcdfglmnprstv,ch,ll,ñ", "aeiou,ie,ue"),
    "it": _latin("bcdfglmnprstvz,gn,ch", "aeiou,io"),
    "pt-br": _latin("bcdfglmnprstv,lh,nh", "aeiou,ão"),
    "ru": Syllables(onsets=_units("бвгджзклмнпрстфхцчшщ"), rhymes=_units("аеиоуыэюя")),
    "ko": Syllables(
        rhymes=_units(
            "가나다라마바사아자차카타파하고노도로모보소오조초코토포호구누두루무부수우주추쿠투푸후기니디리미비시이지치키티피히"
        )
    ),
    "pl": _latin("bcdfgklmnprstwz,sz,cz", "aeiouyó"),
    "nl": _latin("bdfghklmnprstvwz,sch", "aeiou,aa,ee,oe,ui,ij"),
    "tr": _latin("bcçdfghklmnprsştvyz", "aeıioöuü"),
    "sv": _latin("bdfghklmnprstv,sk", "aeiouyåäö"),
    "uk": Syllables(onsets=_units("бвгджзклмнпрстфхцчш"), rhymes=_units("аеиіоуюя")),
    "vi": _latin("bcdđghklmnprstvx,ch,nh,th", "aăâeêioôơuư"),
    "hi": Syllables(
        rhymes=(
            *("का", "की", "कू", "मा", "मी", "पा", "पी", "पो", "बा", "बी", "बो", "ता", "ती", "ना", "नी"),
            *("ला", "ली", "सा", "सी", "रा", "री", "हा", "ही", "वा", "वी", "फा", "फी", "जा", "चा", "दा", "शा"),
        )
    ),
    "el": Syllables(onsets=_units("βγδζθκλμνξπρστφχψ"), rhymes=_units("αεηιουω")),
    "ro": _latin("bcdfglmnprstvșț", "aeiouăî"),
    "hu": _latin("bcdfghklmnprstv,sz,gy", "aáeéiíoóöőuúü"),
    "fi": _latin("hjklmnprstv", "aeiouyäö,aa,uu,ee"),
    "cs": _latin("bcčdfhjklmnprřsštvzž", "aeiouyáéí"),
    "id": _latin("bcdfghjklmnprstwy,ng", "aeiou"),
}
"""espeak's voice -> its syllables."""

VOICES = tuple(dict.fromkeys((*ENGLISH_VOICES, PINYIN_VOICE, JAPANESE_VOICE, *OTHER_LANGUAGES)))


@dataclass(frozen=True, slots=True)
class Line:
    """A text and the voice that can read it."""

    voice: str
    text: str


def read_words(path: Path = WORD_LIST) -> tuple[str, ...]:
    """Take the plain lower-case words of 3..12 letters from a word list."""
    listed = path.read_text(encoding="utf-8").split()
    return tuple(word for word in listed if word.isascii() and word.isalpha() and word.islower() and 2 < len(word) < 13)


def draw_line(random: Random, words: Sequence[str]) -> Line:
    """Draw a language and something to say in it."""
    share = random.random()
    if share < ENGLISH_UP_TO:
        line = Line(pick(random, ENGLISH_VOICES), _english(random, words))
    elif share < PINYIN_UP_TO:
        line = Line(PINYIN_VOICE, _pinyin(random))
    elif share < JAPANESE_UP_TO:
        line = Line(JAPANESE_VOICE, " ".join(_joined(random, lambda: pick(random, _KANA), 2, 6) for _ in range(8)))
    else:
        line = other_line(random, pick(random, tuple(OTHER_LANGUAGES)))
    return Line(line.voice, line.text[:LONGEST_TEXT])


def draw_english(random: Random, words: Sequence[str]) -> str:
    """Draw something to say in English."""
    return _english(random, words)[:LONGEST_TEXT]


def other_line(random: Random, voice: str) -> Line:
    """Draw words of random syllables, and some numbers, for one of OTHER_LANGUAGES."""
    syllables = OTHER_LANGUAGES[voice]
    words = []
    for _ in range(random.integers(6, 14)):
        is_word = random.random() < 0.75
        word = _joined(random, lambda: _syllable(random, syllables), 1, 5) if is_word else str(random.integers(2, 9000))
        words.append(word + ("," if random.random() < 0.1 else ""))
    return Line(voice, " ".join(words) + ".")


def grid_sentence(random: Random) -> str:
    """Draw a sentence of the GRID grammar."""
    return " ".join(pick(random, slot) for slot in GRID_WORDS)


def pick(random: Random, choices: Sequence[str]) -> str:
    """Draw one."""
    return choices[int(random.integers(len(choices)))]


def _english(random: Random, words: Sequence[str]) -> str:
    kind = random.random()
    if kind < 0.15:
        return f"{grid_sentence(random)}. {grid_sentence(random)}."
    if kind < 0.25:
        return " ".join(pick(random, _LABIAL + _COMMON) for _ in range(random.integers(6, 16))) + "."
    sentences = [_english_sentence(random, words) for _ in range(random.integers(1, 4))]
    return ". ".join(sentences) + pick(random, ".?!.")


def _english_sentence(random: Random, words: Sequence[str]) -> str:
    said: list[str] = []
    for _ in range(random.integers(3, 9)):
        said += [pick(random, _COMMON) for _ in range(random.integers(0, 4))]
        said.append(pick(random, words if random.random() < 0.8 else _LABIAL))
        if random.random() < 0.08:
            said[-1] += ","
        if random.random() < 0.04:
            said.append(str(random.integers(2, 3000)))
    return " ".join(said)


def _pinyin(random: Random) -> str:
    words = []
    for _ in range(random.integers(6, 16)):
        word = _joined(random, lambda: _pinyin_syllable(random), 1, 4)
        words.append(word + ("," if random.random() < 0.12 else ""))
    return " ".join(words) + "."


def _pinyin_syllable(random: Random) -> str:
    is_common = random.random() < 0.4
    syllable = pick(random, _COMMON_PINYIN) if is_common else pick(random, _INITIALS) + pick(random, _FINALS)
    return syllable + str(random.integers(1, 5))


def _syllable(random: Random, syllables: Syllables) -> str:
    coda = pick(random, "nrsl") if syllables.codas and random.random() < 0.2 else ""
    return pick(random, syllables.onsets) + pick(random, syllables.rhymes) + coda


def _joined(random: Random, draw: Callable[[], str], least: int, beyond: int) -> str:
    return "".join(draw() for _ in range(random.integers(least, beyond)))
