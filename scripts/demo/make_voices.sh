#!/usr/bin/env bash
# Speak the two demo sentences again: voice_en.flac and voice_zh.flac beside this script.
# Needs espeak-ng and ffmpeg. The files are committed, so neither setup nor the demo runs this.
set -euo pipefail
cd "$(dirname "$0")"

english='Hello. I never said this sentence. I am a still portrait, and my lips follow the voice of a machine.'
# 大家好。这句话,我从来没有说过。我的嘴唇,只是跟着电脑的声音在动。
mandarin='da4jia1 hao3. zhe4 ju4 hua4, wo3 cong2lai2 mei2you3 shuo1guo5. wo3 de5 zui3chun2, zhi3shi4 gen1zhe5 dian4nao3 de5 sheng1yin1 zai4 dong4.'

# A third of a second of silence before and after; the top octave of the synthesiser taken down; a hint of a room.
soften='adelay=300,apad=pad_dur=0.35,highpass=f=90,equalizer=f=3200:t=q:w=1:g=-3,lowpass=f=7500,aecho=0.9:0.6:17|29:0.10|0.06,alimiter=limit=0.8:level=0'

speak() {   # speak VOICE WORDS_PER_MINUTE PITCH TEXT FILE
  espeak-ng -v "$1" -s "$2" -p "$3" -g 3 --stdout "$4" |
    ffmpeg -nostdin -hide_banner -loglevel error -y -f wav -i pipe:0 -af "$soften" \
      -ar 22050 -ac 1 -sample_fmt s16 -map_metadata -1 -fflags +bitexact -flags:a +bitexact -compression_level 12 "$5"
}

speak en-us+f2 158 45 "$english" voice_en.flac
speak cmn-latn-pinyin+f2 165 45 "$mandarin" voice_zh.flac
