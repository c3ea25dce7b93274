"""What each Unicode scalar is to GPT-2's pattern: other, letter, number or white space.  A frozen table.

Made by `python -m tokenizer.make_unicode_classes` from regex 2026.11.15; do not edit.  It agrees with tiktoken 0.14 on all
1,112,064 scalars (tests/tokenizer/test_unicode_classes.py).  Surrogates are "other".
"""

import base64
import functools
import zlib

import numpy as np

OTHER, LETTER, NUMBER, SPACE = range(4)

# Runs of equal class as lines "length class", compressed.
_RUNS = """
c-pO5S(fA|4E(QC)Df(O?fw_*L?UECI;&>-
^_NME0d1j>a(rK3<y*d}zXmi1We%=y{%WrQ*Khi&7`&!^5!W>s_9S2X`i9nTu_xPj&dGYmf(g9Q(qAK;>v>M8UC4LD8hi3sZ)~5}ljqlIMNMBw{&KFr)
}Y558LyE^T`RuoY5TdI(mKZ`OvtuwJ5ScBE1f$sL2J5J&xtYeHOhL^uwpKkb%3qdB$zignY-;0+bB+w`R!Pn>3VI4<cYCagr)^vD?-
EZ4K&$s5uLk~si30i`{gL>^9v_kFn(P#J!y_{sW>2AYTG<CAW4mq55a!b#=g4SZwlQ%p2rVQp~HvTeav#Ad82W7)yKWdlcK`#Ap>k;M*US$Pn*m2Nk4Z
qaB`ZZAW1?%?|g<zn#X!UcrsM(4sT)Imk^tVBFt*`y_%OKx#RZT<i4fQANRgKX(pesX~u+Y4<?OB-`udI6>UYU?KjqbbuFR}t-
+ge=<~9s1WMQ)G{X&H(TMmS57r3))Z;}cgHzCR`hxP_z)pe4vQU!!BBApsAUAA7H{e}3dwx?>0Ooj>1bLx5fwbxBzD3|KbPpLc(uQRB<pWOgyq**P`Ad
SvN;}@v1^{Nq?&aU+FTDmbx!~23j_v3hiD%I%SSt}-
Y|3tMB11kJf%H8_l3jLgQY=JE3Y7qQXw;3(dCJlWENY6;L+kBAuD2{Lw?|&tr%W>n*acCbnf9e2PAzGh>EG`~aFbzqpdmJUmO>*L-Z{bMH2}pF-
{X={k^O*CBGD-
_u3akQe?0&&oN!q7Hz`|BMrOEdp6F*>9#4t5ln)6p&r9~c96;q^A(@LgYRHNonR;E!t|n536k2i^7x?Pvhf{Gz7+ka*q>CN`ilBQSPFWvn1~poVy-eC^
My<v`yXV7~&p51`*N}Lc93W{4XvPwee?pT|Grz3aRoh{c|MTpCM6C+l2ZHnDTr(^19(zl01%TuXIj*G0l3{RY_y(^?wOx8-
Tuw1NopPnrso?Z(+;ekTEy>lH4F8PvD!iNPfU{M24I>?BaK~_RK*>65gexHmyJTO`8!UICa_4<nj%!kvyJWaF5MWI}Ob3zj6&)aF`<ita&}foyKT}-
Ua;-;9rVlxKd!`=YV>vOFGoCo1D<AP>0!aol<W$P&lb=ui93Dh^&`$ESx1%&s3vR-
&lv?4W#r(Ghz+R^Aj>8~GdEzLM%gO`!+)ZW4z!X~rth(azR+;D(#UpK25*v*l>RCcQln**YqVOymw?nF+ao#s<XA$aUZCFVQ_*H2jfo$HY@IHZp9hcgw
C_TJa>9C4fUb)6`Tf(0sOG`Z%^gLdj;`AHT7x%*A80fW1s}epyl;wOXQhr_`+ipVOq|CT{hp$7$%GqP9Cc{LY(TB_(F3Su5;)fA=l#LUR9X7Km%TgBes
-*PIcg)kvU3EGR63SAo=zf$0VNsV1$UFRIYYHut<q8X{qfF@Q0_H{){_h~hNmP@i;712EO~EZmHDeIPGw%xe0!*o(O~mg^vcq8B^yrTDd|Rr*7f=$olS
kbJ$vFyle@82saS&m(t^8K(3FeL@BTvr$a%so8eV_%2@NRdY`gQ?JZrbDm(B#^Rd5(GwH4fdyTmrEu4*YePE}+PiBp=F;EpQAi+s2G3cK)lb!QGMoIvY
FKh+Ph>jX`laQj&pI2~Y+}2_`An-}J`UQO!oKp8dBaWbkpR+jq3-+d@x+4Qzdz3jJI5wr-ubDtMXM^wUeghC8adc~bSuNgw^pP8!~mjTq^^U1<{;XKRl
Ra<QPcZLO6EiW*4_nzrzzAh4aHx-D4^(c);^@<nu(jm-4K502xN&0FW79+eUyJCQ!wA_~Mv!OoO!$lcT!HLh-
SuGj7M6LGAb94m2nZeo-$hDf94JTp<&yk)doQ7vGp!og(>u$E%nwDwei-agwbx0edWC~wV-Hs0DBv4<lGikBN`DYd`&u0O4O=76+VJ#I22;07QdHn0$F
nTA=cnVPGf?In#A>U%Zm4Y6nj8D%Gm!*a6oZ?k;6MnbZ;&g*EoH#IV&JzM``=3}{B<qaZ$M31clP5oA(des=MEFalEY>CsjTn~CeM?aDdWDQ(CTX7Jtm
ZMG7Px<=+@#P@?QSn66ipx0=`ZqIxrQ&WpOl0>=z+(x68Z)XM-
4*_4h}ANGjMfwHp|S_R8Z7cw7_l81j5Vq)8e34w;Ylr3N=T~AnhTvLV(ye39|!fTJ)!T7Rl`h$PA~q!nk1#wAoD1oX=pz6jTWCJ-
F0UDhd;9Pr#8}W2mJCpzdK`AKix05LOZ%pWqaYx5NmI=ep8pr2>~~&VI0#W{*x=MMRQhLWVGt!R;yE9yL!3I21A1Cs<lgGbWcPi=4rj~n0e$6weT_0
"""


@functools.cache
def class_of_scalar() -> np.ndarray:
    """uint8, shape (0x110000,): the class of each code point."""
    lines = zlib.decompress(base64.b85decode("".join(_RUNS.split()))).decode().split()
    lengths, classes = (np.array(lines[first::2], dtype=np.int64) for first in (0, 1))
    return np.repeat(classes.astype(np.uint8), lengths)
