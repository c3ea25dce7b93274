"""What each Unicode scalar is to GPT-2's pattern: other, letter, number or white space.  A frozen table.

Made by `python -m tokenizer.make_unicode_classes` from regex 2025.9.18, Unicode 16; do not edit.  It agrees with tiktoken 0.14
on all 1,112,064 scalars (tests/tokenizer/test_unicode_classes.py).  Surrogates are "other".
"""

import base64
import functools
import zlib

import numpy as np

OTHER, LETTER, NUMBER, SPACE = range(4)

# Runs of equal class as lines "length class", compressed.
_RUNS = """
c-o~|TcYeJ2>d^*I7^72sQcg8v_KKG(|u>|d?jrRkyjPa^Y{8`zx-3i>!z%mwr;Lp`suG5lHc+pxOpwxCKA7ydM&p1^-
l5MtXI<ewZ{I87z=n(+j!m8wV&2f)dQJC?9nStf1+|;S6XkU9g^PQ{N~z!`OSzYJYRRJwFurCE*9dd>ZSs^pK^V%E*sS)i3+S${ZwmV&iwi2Pdaw2?VP
?;wv(@us;)z&gqVsi@p^Z<u<DQXBY9zNo+!)muN`68cn20#8>~llNomV4t)}-qK>YO!U%KFQ@fDa59wHc}C!4SvlHV-
A$&8#o0(qkMwtM)w>$mUG!<EYsJN^EQ2hTduJfi8N?Dk}+aD3<hpQuy+Xs9RQe0{RdoduMF#tp<t3D}*^6iMsY&qzyx$t~bDorf#2St!y=a_ot32`Q&#
hU$H5QNPN*o-A|vc(V*4x=)wZ@|1`z?dYDZDsQ?x@l9pGYKW$s`sCi^KncsRkv)t}GxB>rcqf3b9uLA8l#-s(8zsvIW-
@JN)1y(g`BIQN#FQKGE_{2vBPjuMK68S+upL9&baWHJBb~J+9cs`8=kTQiPV#y^7yk8|1r}@lcp@DDOorVa-
x@DN0+~#4QL<5qCWwtamtws|c99ypBZw6F$_%6*amP7imyo6@+ES_n(8HqUY|2YYC-
A5mrXE)B7dT$oneT|aa!jdZDqt4{LRoar9eJu`t*(DRS3#Ie<$;de99fGRWO#FeuGat*HT;M}!bJK5P6?u`z#lzS#(y~gFoJNd6;UnwNKU3)Dqvxpd3j
tp@{&IgVqWJQeK~>J!^WZ^W~jlQKfLVf6`iDF3>4bVG`29i$`MtRAqFRHN3~TRGOED%fSl$p){JV!nZ2!gQ@tu$dJZGR*U^;mSi`2U@#I8xmXKz;j`R&
qn&iS#a;)~lDgWg<fQeNqj2{qAtLR#^Kzs7J;uQ!Y$+7cFhHM!JXN}+>PgRvNf^sP(?TSk0)MeoGY~E{Yo3s?`R1^S3sS4puG7)Wpup#h)rLg2E2bTD^
W`q)FOr-~=8&PG*$<<pSz#hqJg?9H2*M<sI6Ec^hva%fmsHbw(TLi3B&1js-
(l+wFG@o)kk<)qPS|nmFGi5vTixS+@kzcA1XLJL}mJCPv`V`+0QKbfex1gZ_g;IJHDFi03+BwyxaV&wfmzsItBT%3{6)Qn%?V$?YU8Jm_1{FqmEx<-
?QR)@lW7)jJdN;o`v<1Y-A8ZH4FuIM?AvDW8&l^6|Otro?yi*$rt=3Tul16Do)G-
Wf_|(0%v^4h~!n;{=(lIpWh~uDZmZOwjpRZQyj2qm&2*c*Msh9UyEn=XQtmjj=@_h$y(zu{FCBoqcVjL!}lqzeP$uB`S^?|`7V##4JerQ3D_Hp5|p=b7
Fb6e@L1l_%|#|0j#@SXX}Yiq&Kqb0zK4rW5jX$SHpOinxi9I2yA7#^}3Jc6h<$fBg7s?hLb0Em{pN>N=4h-SR&sosDff~u*|dm%aCCYyN-
LwdUXBZvUdSer>-if-NfT%5ots^6*t>?~xYa%YWJOjh#cevb0Ypf-@-
J>x*jZECeVsmWcRYO{6l6ipf$n{sz>39zCgu*c!BfE_grf9N^3BvEASTRB`p@?VV#?l}aISSy09n9EtTRZY|m+EIXN0l+9sockOjFW8N)gV=+Q*Rai%j
3S(6d#`NvRzj)4_}j2XV1H$39no3kK<;L>&uD=W8lFlX*2z;cZaE5h+B)vj9``t|Ur7khbDmd@0>WXnZ}XH$3JJo3r8Q~GoYBd)tbL3#?x=~$(}Zi(<A
omLg-1TZ%#!8Y8Wq;&0=Aj(e6vw>t#zx%hHPhCAfg@ObOtbzDImu(73@VrWcFMC9uplwxbmE+H=2%lWuzwZj=-
+0+ypfqzs)21e49{&48sMqA2(Q*G{K^~h13q10-$2|yvrCJrd=@|fE6XWGO0&4sX3)6t_`a&1`<m1drZ#!^EL{dCHqTT$88`D*i&dU7w}~k>^LH-
*tyMw%eXC4t&NM}lHI8sQZCa&j;IsLG2AZ)>;-6^Ed%tEb_{ODX@GIyZ#ydQ9#M-LirR+iIbQzf3NWKtR8GP!q#ubYWr-
(<Ax*fRtGAc{(H`zGq_JHJRJ64tq@Ip?F?yV;nAy+1>y5M~&Jkslj0A2sMou+0rl<HfXw?8+qAo^HT4v2(eXB6fuIM^R_2EyU`fW7xrw{z$dcJq2UHx>
vpyGZ^cG~v9<_kJ8=;N*oF5_G3+71}Vl!kVWqBLw>0=s+dK_X&1s#r;>d)lS$n2b`g+7xVFgI}(_{sFYQ7IX
"""


@functools.cache
def class_of_scalar() -> np.ndarray:
    """uint8, shape (0x110000,): the class of each code point."""
    lines = zlib.decompress(base64.b85decode("".join(_RUNS.split()))).decode().split()
    lengths, classes = (np.array(lines[first::2], dtype=np.int64) for first in (0, 1))
    return np.repeat(classes.astype(np.uint8), lengths)
