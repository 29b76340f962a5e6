/*
Parts of D3 (https://d3js.org), bundled by scripts/build_page_library.py.

d3-array 3.2.5, d3-axis 3.0.1, d3-color 3.1.1, d3-format 3.1.3, d3-interpolate 3.0.2, d3-scale 4.0.3, d3-selection 3.0.1, d3-shape 3.2.1, d3-time 3.1.1, d3-time-format 4.1.1
Copyright 2010-2026 Mike Bostock

d3-path 3.1.1
Copyright 2015-2026 Mike Bostock

internmap 2.0.3
Copyright 2021 Mike Bostock

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.
*/
var d3=(()=>{var Bn=Object.defineProperty;var hi=Object.getOwnPropertyDescriptor;var _i=Object.getOwnPropertyNames;var pi=Object.prototype.hasOwnProperty;var gi=(n,t)=>{for(var e in t)Bn(n,e,{get:t[e],enumerable:!0})},di=(n,t,e,i)=>{if(t&&typeof t=="object"||typeof t=="func\
tion")for(let r of _i(t))!pi.call(n,r)&&r!==e&&Bn(n,r,{get:()=>t[r],enumerable:!(i=hi(t,r))||i.enumerable});return n};var mi=n=>di(Bn({},"__esModule",{value:!0}),n);var qu={};gi(qu,{area:()=>ze,axisBottom:()=>Ze,axisLeft:()=>Ke,create:()=>fi,curveMonotoneX:()=>Qe,line:()=>lt,pointer:()=>ci,
scaleLinear:()=>it,scaleLog:()=>rt,select:()=>bt});function an(n,t){return n==null||t==null?NaN:n<t?-1:n>t?1:n>=t?0:NaN}function yi(n,t){return n==null||t==null?NaN:t<n?-1:
t>n?1:t>=n?0:NaN}function kt(n){let t,e,i;n.length!==2?(t=an,e=(s,l)=>an(n(s),l),i=(s,l)=>n(s)-l):(t=n===an||n===yi?n:xi,
e=n,i=n);function r(s,l,a=0,h=s.length){if(a<h){if(t(l,l)!==0)return h;do{let f=a+h>>>1;e(s[f],l)<0?a=f+1:h=f}while(a<h)}
return a}function o(s,l,a=0,h=s.length){if(a<h){if(t(l,l)!==0)return h;do{let f=a+h>>>1;e(s[f],l)<=0?a=f+1:h=f}while(a<h)}
return a}function u(s,l,a=0,h=s.length){let f=r(s,l,a,h-1);return f>a&&i(s[f-1],l)>-i(s[f],l)?f-1:f}return{left:r,center:u,
right:o}}function xi(){return 0}function wi(n){return n===null?NaN:+n}var Nt=kt(an),At=Nt.right,Ou=Nt.left,Iu=kt(wi).center;var Lu=Tt(St),Du=Tt(vi);function Tt(n){return function(t,e,i=e){if(!((e=+e)>=0))throw new RangeError("invalid rx");if(!((i=
+i)>=0))throw new RangeError("invalid ry");let{data:r,width:o,height:u}=t;if(!((o=Math.floor(o))>=0))throw new RangeError(
"invalid width");if(!((u=Math.floor(u!==void 0?u:r.length/o))>=0))throw new RangeError("invalid height");if(!o||!u||!e&&
!i)return t;let s=e&&n(e),l=i&&n(i),a=r.slice();return s&&l?(W(s,a,r,o,u),W(s,r,a,o,u),W(s,a,r,o,u),Z(l,r,a,o,u),Z(l,a,r,
o,u),Z(l,r,a,o,u)):s?(W(s,r,a,o,u),W(s,a,r,o,u),W(s,r,a,o,u)):l&&(Z(l,r,a,o,u),Z(l,a,r,o,u),Z(l,r,a,o,u)),t}}function W(n,t,e,i,r){
for(let o=0,u=i*r;o<u;)n(t,e,o,o+=i,1)}function Z(n,t,e,i,r){for(let o=0,u=i*r;o<i;++o)n(t,e,o,o+u,i)}function vi(n){let t=St(
n);return(e,i,r,o,u)=>{r<<=2,o<<=2,u<<=2,t(e,i,r+0,o+0,u),t(e,i,r+1,o+1,u),t(e,i,r+2,o+2,u),t(e,i,r+3,o+3,u)}}function St(n){
let t=Math.floor(n);if(t===n)return bi(n);let e=n-t,i=2*n+1;return(r,o,u,s,l)=>{if(!((s-=l)>=u))return;let a=t*o[u],h=l*
t,f=h+l;for(let c=u,_=u+h;c<_;c+=l)a+=o[Math.min(s,c)];for(let c=u,_=s;c<=_;c+=l)a+=o[Math.min(s,c+h)],r[c]=(a+e*(o[Math.
max(u,c-f)]+o[Math.min(s,c+f)]))/i,a-=o[Math.max(u,c-h)]}}function bi(n){let t=2*n+1;return(e,i,r,o,u)=>{if(!((o-=u)>=r))
return;let s=n*i[r],l=u*n;for(let a=r,h=r+l;a<h;a+=u)s+=i[Math.min(o,a)];for(let a=r,h=o;a<=h;a+=u)s+=i[Math.min(o,a+l)],
e[a]=s/t,s-=i[Math.max(r,a-l)]}}var Mi=Array.prototype,zu=Mi.slice;var ki=Math.sqrt(50),Ni=Math.sqrt(10),Ai=Math.sqrt(2);function yn(n,t,e){let i=(t-n)/Math.max(0,e),r=Math.floor(Math.log10(
i)),o=i/Math.pow(10,r),u=o>=ki?10:o>=Ni?5:o>=Ai?2:1,s,l,a;return r<0?(a=Math.pow(10,-r)/u,s=Math.round(n*a),l=Math.round(
t*a),s/a<n&&++s,l/a>t&&--l,a=-a):(a=Math.pow(10,r)*u,s=Math.round(n/a),l=Math.round(t/a),s*a<n&&++s,l*a>t&&--l),l<s&&.5<=
e&&e<2?yn(n,t,e*2):[s,l,a]}function wn(n,t,e){if(t=+t,n=+n,e=+e,!(e>0))return[];if(n===t)return[n];let i=t<n,[r,o,u]=i?yn(
t,n,e):yn(n,t,e);if(!(o>=r))return[];let s=o-r+1,l=new Array(s);if(i)if(u<0)for(let a=0;a<s;++a)l[a]=(o-a)/-u;else for(let a=0;a<
s;++a)l[a]=(o-a)*u;else if(u<0)for(let a=0;a<s;++a)l[a]=(r+a)/-u;else for(let a=0;a<s;++a)l[a]=(r+a)*u;return l}function xn(n,t,e){
return t=+t,n=+n,e=+e,yn(n,t,e)[2]}function $t(n,t,e){t=+t,n=+n,e=+e;let i=t<n,r=i?xn(t,n,e):xn(n,t,e);return(i?-1:1)*(r<
0?1/-r:r)}var Fu=Ti(Math.random);function Ti(n){return function(e,i=0,r=e.length){let o=r-(i=+i);for(;o;){let u=n()*o--|0,s=e[o+i];
e[o+i]=e[u+i],e[u+i]=s}return e}}function nn(n,t,e){n.prototype=t.prototype=e,e.constructor=n}function cn(n,t){var e=Object.create(n.prototype);for(var i in t)
e[i]=t[i];return e}function B(){}var U=.7,j=1/U,K="\\s*([+-]?\\d+)\\s*",ln="\\s*([+-]?(?:\\d*\\.)?\\d+(?:[eE][+-]?\\d+)?)\\s*",
O="\\s*([+-]?(?:\\d*\\.)?\\d+(?:[eE][+-]?\\d+)?)%\\s*",Si=/^#([0-9a-f]{3,8})$/,$i=new RegExp(`^rgb\\(${K},${K},${K}\\)$`),
Ei=new RegExp(`^rgb\\(${O},${O},${O}\\)$`),Ri=new RegExp(`^rgba\\(${K},${K},${K},${ln}\\)$`),Ci=new RegExp(`^rgba\\(${O}\
,${O},${O},${ln}\\)$`),qi=new RegExp(`^hsl\\(${ln},${O},${O}\\)$`),Pi=new RegExp(`^hsla\\(${ln},${O},${O},${ln}\\)$`),Et={
aliceblue:15792383,antiquewhite:16444375,aqua:65535,aquamarine:8388564,azure:15794175,beige:16119260,bisque:16770244,black:0,
blanchedalmond:16772045,blue:255,blueviolet:9055202,brown:10824234,burlywood:14596231,cadetblue:6266528,chartreuse:8388352,
chocolate:13789470,coral:16744272,cornflowerblue:6591981,cornsilk:16775388,crimson:14423100,cyan:65535,darkblue:139,darkcyan:35723,
darkgoldenrod:12092939,darkgray:11119017,darkgreen:25600,darkgrey:11119017,darkkhaki:12433259,darkmagenta:9109643,darkolivegreen:5597999,
darkorange:16747520,darkorchid:10040012,darkred:9109504,darksalmon:15308410,darkseagreen:9419919,darkslateblue:4734347,darkslategray:3100495,
darkslategrey:3100495,darkturquoise:52945,darkviolet:9699539,deeppink:16716947,deepskyblue:49151,dimgray:6908265,dimgrey:6908265,
dodgerblue:2003199,firebrick:11674146,floralwhite:16775920,forestgreen:2263842,fuchsia:16711935,gainsboro:14474460,ghostwhite:16316671,
gold:16766720,goldenrod:14329120,gray:8421504,green:32768,greenyellow:11403055,grey:8421504,honeydew:15794160,hotpink:16738740,
indianred:13458524,indigo:4915330,ivory:16777200,khaki:15787660,lavender:15132410,lavenderblush:16773365,lawngreen:8190976,
lemonchiffon:16775885,lightblue:11393254,lightcoral:15761536,lightcyan:14745599,lightgoldenrodyellow:16448210,lightgray:13882323,
lightgreen:9498256,lightgrey:13882323,lightpink:16758465,lightsalmon:16752762,lightseagreen:2142890,lightskyblue:8900346,
lightslategray:7833753,lightslategrey:7833753,lightsteelblue:11584734,lightyellow:16777184,lime:65280,limegreen:3329330,
linen:16445670,magenta:16711935,maroon:8388608,mediumaquamarine:6737322,mediumblue:205,mediumorchid:12211667,mediumpurple:9662683,
mediumseagreen:3978097,mediumslateblue:8087790,mediumspringgreen:64154,mediumturquoise:4772300,mediumvioletred:13047173,
midnightblue:1644912,mintcream:16121850,mistyrose:16770273,moccasin:16770229,navajowhite:16768685,navy:128,oldlace:16643558,
olive:8421376,olivedrab:7048739,orange:16753920,orangered:16729344,orchid:14315734,palegoldenrod:15657130,palegreen:10025880,
paleturquoise:11529966,palevioletred:14381203,papayawhip:16773077,peachpuff:16767673,peru:13468991,pink:16761035,plum:14524637,
powderblue:11591910,purple:8388736,rebeccapurple:6697881,red:16711680,rosybrown:12357519,royalblue:4286945,saddlebrown:9127187,
salmon:16416882,sandybrown:16032864,seagreen:3050327,seashell:16774638,sienna:10506797,silver:12632256,skyblue:8900331,slateblue:6970061,
slategray:7372944,slategrey:7372944,snow:16775930,springgreen:65407,steelblue:4620980,tan:13808780,teal:32896,thistle:14204888,
tomato:16737095,turquoise:4251856,violet:15631086,wheat:16113331,white:16777215,whitesmoke:16119285,yellow:16776960,yellowgreen:10145074};
nn(B,tn,{copy(n){return Object.assign(new this.constructor,this,n)},displayable(){return this.rgb().displayable()},hex:Rt,
formatHex:Rt,formatHex8:Oi,formatHsl:Ii,formatRgb:Ct,toString:Ct});function Rt(){return this.rgb().formatHex()}function Oi(){
return this.rgb().formatHex8()}function Ii(){return Bt(this).formatHsl()}function Ct(){return this.rgb().formatRgb()}function tn(n){
var t,e;return n=(n+"").trim().toLowerCase(),(t=Si.exec(n))?(e=t[1].length,t=parseInt(t[1],16),e===6?qt(t):e===3?new k(t>>
8&15|t>>4&240,t>>4&15|t&240,(t&15)<<4|t&15,1):e===8?vn(t>>24&255,t>>16&255,t>>8&255,(t&255)/255):e===4?vn(t>>12&15|t>>8&
240,t>>8&15|t>>4&240,t>>4&15|t&240,((t&15)<<4|t&15)/255):null):(t=$i.exec(n))?new k(t[1],t[2],t[3],1):(t=Ei.exec(n))?new k(
t[1]*255/100,t[2]*255/100,t[3]*255/100,1):(t=Ri.exec(n))?vn(t[1],t[2],t[3],t[4]):(t=Ci.exec(n))?vn(t[1]*255/100,t[2]*255/
100,t[3]*255/100,t[4]):(t=qi.exec(n))?It(t[1],t[2]/100,t[3]/100,1):(t=Pi.exec(n))?It(t[1],t[2]/100,t[3]/100,t[4]):Et.hasOwnProperty(
n)?qt(Et[n]):n==="transparent"?new k(NaN,NaN,NaN,0):null}function qt(n){return new k(n>>16&255,n>>8&255,n&255,1)}function vn(n,t,e,i){
return i<=0&&(n=t=e=NaN),new k(n,t,e,i)}function Qn(n){return n instanceof B||(n=tn(n)),n?(n=n.rgb(),new k(n.r,n.g,n.b,n.
opacity)):new k}function hn(n,t,e,i){return arguments.length===1?Qn(n):new k(n,t,e,i??1)}function k(n,t,e,i){this.r=+n,this.
g=+t,this.b=+e,this.opacity=+i}nn(k,hn,cn(B,{brighter(n){return n=n==null?j:Math.pow(j,n),new k(this.r*n,this.g*n,this.b*
n,this.opacity)},darker(n){return n=n==null?U:Math.pow(U,n),new k(this.r*n,this.g*n,this.b*n,this.opacity)},rgb(){return this},
clamp(){return new k(V(this.r),V(this.g),V(this.b),Mn(this.opacity))},displayable(){return-.5<=this.r&&this.r<255.5&&-.5<=
this.g&&this.g<255.5&&-.5<=this.b&&this.b<255.5&&0<=this.opacity&&this.opacity<=1},hex:Pt,formatHex:Pt,formatHex8:Li,formatRgb:Ot,
toString:Ot}));function Pt(){return`#${H(this.r)}${H(this.g)}${H(this.b)}`}function Li(){return`#${H(this.r)}${H(this.g)}${H(
this.b)}${H((isNaN(this.opacity)?1:this.opacity)*255)}`}function Ot(){let n=Mn(this.opacity);return`${n===1?"rgb(":"rgba\
("}${V(this.r)}, ${V(this.g)}, ${V(this.b)}${n===1?")":`, ${n})`}`}function Mn(n){return isNaN(n)?1:Math.max(0,Math.min(
1,n))}function V(n){return Math.max(0,Math.min(255,Math.round(n)||0))}function H(n){return n=V(n),(n<16?"0":"")+n.toString(
16)}function It(n,t,e,i){return i<=0?n=t=e=NaN:e<=0||e>=1?n=t=NaN:t<=0&&(n=NaN),new R(n,t,e,i)}function Bt(n){if(n instanceof
R)return new R(n.h,n.s,n.l,n.opacity);if(n instanceof B||(n=tn(n)),!n)return new R;if(n instanceof R)return n;n=n.rgb();
var t=n.r/255,e=n.g/255,i=n.b/255,r=Math.min(t,e,i),o=Math.max(t,e,i),u=NaN,s=o-r,l=(o+r)/2;return s?(t===o?u=(e-i)/s+(e<
i)*6:e===o?u=(i-t)/s+2:u=(t-e)/s+4,s/=l<.5?o+r:2-o-r,u*=60):s=l>0&&l<1?0:u,new R(u,s,l,n.opacity)}function Nn(n,t,e,i){return arguments.
length===1?Bt(n):new R(n,t,e,i??1)}function R(n,t,e,i){this.h=+n,this.s=+t,this.l=+e,this.opacity=+i}nn(R,Nn,cn(B,{brighter(n){
return n=n==null?j:Math.pow(j,n),new R(this.h,this.s,this.l*n,this.opacity)},darker(n){return n=n==null?U:Math.pow(U,n),
new R(this.h,this.s,this.l*n,this.opacity)},rgb(){var n=this.h%360+(this.h<0)*360,t=isNaN(n)||isNaN(this.s)?0:this.s,e=this.
l,i=e+(e<.5?e:1-e)*t,r=2*e-i;return new k(Xn(n>=240?n-240:n+120,r,i),Xn(n,r,i),Xn(n<120?n+240:n-120,r,i),this.opacity)},
clamp(){return new R(Lt(this.h),bn(this.s),bn(this.l),Mn(this.opacity))},displayable(){return(0<=this.s&&this.s<=1||isNaN(
this.s))&&0<=this.l&&this.l<=1&&0<=this.opacity&&this.opacity<=1},formatHsl(){let n=Mn(this.opacity);return`${n===1?"hsl\
(":"hsla("}${Lt(this.h)}, ${bn(this.s)*100}%, ${bn(this.l)*100}%${n===1?")":`, ${n})`}`}}));function Lt(n){return n=(n||
0)%360,n<0?n+360:n}function bn(n){return Math.max(0,Math.min(1,n||0))}function Xn(n,t,e){return(n<60?t+(e-t)*n/60:n<180?
e:n<240?t+(e-t)*(240-n)/60:t)*255}var Xt=Math.PI/180,Ht=180/Math.PI,kn=18,Vt=.96422,Yt=1,Ut=.82521,Qt=4/29,J=6/29,Gt=3*J*
J,Di=J*J*J;function Wt(n){if(n instanceof I)return new I(n.l,n.a,n.b,n.opacity);if(n instanceof D)return Kt(n);n instanceof
k||(n=Qn(n));var t=Un(n.r),e=Un(n.g),i=Un(n.b),r=Hn((.2225045*t+.7168786*e+.0606169*i)/Yt),o,u;return t===e&&e===i?o=u=r:
(o=Hn((.4360747*t+.3850649*e+.1430804*i)/Vt),u=Hn((.0139322*t+.0971045*e+.7141733*i)/Ut)),new I(116*r-16,500*(o-r),200*(r-
u),n.opacity)}function Zt(n,t,e,i){return arguments.length===1?Wt(n):new I(n,t,e,i??1)}function I(n,t,e,i){this.l=+n,this.a=+t,this.b=
+e,this.opacity=+i}nn(I,Zt,cn(B,{brighter(n){return new I(this.l+kn*(n??1),this.a,this.b,this.opacity)},darker(n){return new I(
this.l-kn*(n??1),this.a,this.b,this.opacity)},rgb(){var n=(this.l+16)/116,t=isNaN(this.a)?n:n+this.a/500,e=isNaN(this.b)?
n:n-this.b/200;return t=Vt*Vn(t),n=Yt*Vn(n),e=Ut*Vn(e),new k(Yn(3.1338561*t-1.6168667*n-.4906146*e),Yn(-.9787684*t+1.9161415*
n+.033454*e),Yn(.0719453*t-.2289914*n+1.4052427*e),this.opacity)}}));function Hn(n){return n>Di?Math.pow(n,1/3):n/Gt+Qt}
function Vn(n){return n>J?n*n*n:Gt*(n-Qt)}function Yn(n){return 255*(n<=.0031308?12.92*n:1.055*Math.pow(n,1/2.4)-.055)}function Un(n){
return(n/=255)<=.04045?n/12.92:Math.pow((n+.055)/1.055,2.4)}function zi(n){if(n instanceof D)return new D(n.h,n.c,n.l,n.
opacity);if(n instanceof I||(n=Wt(n)),n.a===0&&n.b===0)return new D(NaN,0<n.l&&n.l<100?0:NaN,n.l,n.opacity);var t=Math.atan2(
n.b,n.a)*Ht;return new D(t<0?t+360:t,Math.sqrt(n.a*n.a+n.b*n.b),n.l,n.opacity)}function An(n,t,e,i){return arguments.length===1?zi(n):new D(n,t,e,i??1)}function D(n,t,e,i){this.h=+n,this.c=+t,this.l=
+e,this.opacity=+i}function Kt(n){if(isNaN(n.h))return new I(n.l,0,0,n.opacity);var t=n.h*Xt;return new I(n.l,Math.cos(t)*
n.c,Math.sin(t)*n.c,n.opacity)}nn(D,An,cn(B,{brighter(n){return new D(this.h,this.c,this.l+kn*(n??1),this.opacity)},darker(n){
return new D(this.h,this.c,this.l-kn*(n??1),this.opacity)},rgb(){return Kt(this).rgb()}}));var Jt=-.14861,Gn=1.78277,Wn=-.29227,
Tn=-.90649,fn=1.97294,Dt=fn*Tn,zt=fn*Gn,Ft=Gn*Wn-Tn*Jt;function Fi(n){if(n instanceof Y)return new Y(n.h,n.s,n.l,n.opacity);
n instanceof k||(n=Qn(n));var t=n.r/255,e=n.g/255,i=n.b/255,r=(Ft*i+Dt*t-zt*e)/(Ft+Dt-zt),o=i-r,u=(fn*(e-r)-Wn*o)/Tn,s=Math.
sqrt(u*u+o*o)/(fn*r*(1-r)),l=s?Math.atan2(u,o)*Ht-120:NaN;return new Y(l<0?l+360:l,s,r,n.opacity)}function Sn(n,t,e,i){return arguments.
length===1?Fi(n):new Y(n,t,e,i??1)}function Y(n,t,e,i){this.h=+n,this.s=+t,this.l=+e,this.opacity=+i}nn(Y,Sn,cn(B,{brighter(n){
return n=n==null?j:Math.pow(j,n),new Y(this.h,this.s,this.l*n,this.opacity)},darker(n){return n=n==null?U:Math.pow(U,n),
new Y(this.h,this.s,this.l*n,this.opacity)},rgb(){var n=isNaN(this.h)?0:(this.h+120)*Xt,t=+this.l,e=isNaN(this.s)?0:this.
s*t*(1-t),i=Math.cos(n),r=Math.sin(n);return new k(255*(t+e*(Jt*i+Gn*r)),255*(t+e*(Wn*i+Tn*r)),255*(t+e*(fn*i)),this.opacity)}}));function ee(n,t,e,i,r){var o=n*n,u=o*n;return((1-3*n+3*o-u)*t+(4-6*o+3*u)*e+(1+3*n+3*o-3*u)*i+u*r)/6}function Bi(n){var t=n.
length-1;return function(e){var i=e<=0?e=0:e>=1?(e=1,t-1):Math.floor(e*t),r=n[i],o=n[i+1],u=i>0?n[i-1]:2*r-o,s=i<t-1?n[i+
2]:2*o-r;return ee((e-i/t)*t,u,r,o,s)}}function Xi(n){var t=n.length;return function(e){var i=Math.floor(((e%=1)<0?++e:e)*
t),r=n[(i+t-1)%t],o=n[i%t],u=n[(i+1)%t],s=n[(i+2)%t];return ee((e-i/t)*t,r,o,u,s)}}var En=n=>()=>n;function ie(n,t){return function(e){
return n+e*t}}function Hi(n,t,e){return n=Math.pow(n,e),t=Math.pow(t,e)-n,e=1/e,function(i){return Math.pow(n+i*t,e)}}function jn(n,t){
var e=t-n;return e?ie(n,e>180||e<-180?e-360*Math.round(e/360):e):En(isNaN(n)?t:n)}function Vi(n){return(n=+n)==1?T:function(t,e){
return e-t?Hi(t,e,n):En(isNaN(t)?e:t)}}function T(n,t){var e=t-n;return e?ie(n,e):En(isNaN(n)?t:n)}var jt=(function n(t){
var e=Vi(t);function i(r,o){var u=e((r=hn(r)).r,(o=hn(o)).r),s=e(r.g,o.g),l=e(r.b,o.b),a=T(r.opacity,o.opacity);return function(h){
return r.r=u(h),r.g=s(h),r.b=l(h),r.opacity=a(h),r+""}}return i.gamma=n,i})(1);function re(n){return function(t){var e=t.
length,i=new Array(e),r=new Array(e),o=new Array(e),u,s;for(u=0;u<e;++u)s=hn(t[u]),i[u]=s.r||0,r[u]=s.g||0,o[u]=s.b||0;return i=
n(i),r=n(r),o=n(o),s.opacity=1,function(l){return s.r=i(l),s.g=r(l),s.b=o(l),s+""}}}var Vu=re(Bi),Yu=re(Xi);function Yi(n,t){
t||(t=[]);var e=n?Math.min(t.length,n.length):0,i=t.slice(),r;return function(o){for(r=0;r<e;++r)i[r]=n[r]*(1-o)+t[r]*o;
return i}}function Ui(n){return ArrayBuffer.isView(n)&&!(n instanceof DataView)}function Qi(n,t){var e=t?t.length:0,i=n?Math.min(e,n.length):0,r=new Array(i),o=new Array(e),u;for(u=0;u<i;++u)r[u]=Rn(n[u],
t[u]);for(;u<e;++u)o[u]=t[u];return function(s){for(u=0;u<i;++u)o[u]=r[u](s);return o}}function Gi(n,t){var e=new Date;return n=
+n,t=+t,function(i){return e.setTime(n*(1-i)+t*i),e}}function C(n,t){return n=+n,t=+t,function(e){return n*(1-e)+t*e}}function Wi(n,t){
var e={},i={},r;(n===null||typeof n!="object")&&(n={}),(t===null||typeof t!="object")&&(t={});for(r in t)r in n?e[r]=Rn(
n[r],t[r]):i[r]=t[r];return function(o){for(r in e)i[r]=e[r](o);return i}}var Kn=/[-+]?(?:\d+\.?\d*|\.?\d+)(?:[eE][-+]?\d+)?/g,
Zn=new RegExp(Kn.source,"g");function Zi(n){return function(){return n}}function Ki(n){return function(t){return n(t)+""}}
function Ji(n,t){var e=Kn.lastIndex=Zn.lastIndex=0,i,r,o,u=-1,s=[],l=[];for(n=n+"",t=t+"";(i=Kn.exec(n))&&(r=Zn.exec(t));)
(o=r.index)>e&&(o=t.slice(e,o),s[u]?s[u]+=o:s[++u]=o),(i=i[0])===(r=r[0])?s[u]?s[u]+=r:s[++u]=r:(s[++u]=null,l.push({i:u,
x:C(i,r)})),e=Zn.lastIndex;return e<t.length&&(o=t.slice(e),s[u]?s[u]+=o:s[++u]=o),s.length<2?l[0]?Ki(l[0].x):Zi(t):(t=l.
length,function(a){for(var h=0,f;h<t;++h)s[(f=l[h]).i]=f.x(a);return s.join("")})}function Rn(n,t){var e=typeof t,i;return t==
null||e==="boolean"?En(t):(e==="number"?C:e==="string"?(i=tn(t))?(t=i,jt):Ji:t instanceof tn?jt:t instanceof Date?Gi:Ui(
t)?Yi:Array.isArray(t)?Qi:typeof t.valueOf!="function"&&typeof t.toString!="function"||isNaN(t)?Wi:C)(n,t)}function oe(n,t){return n=+n,t=+t,function(e){return Math.round(n*(1-e)+t*e)}}var ne=180/Math.PI,Jn={translateX:0,translateY:0,
rotate:0,skewX:0,scaleX:1,scaleY:1};function ue(n,t,e,i,r,o){var u,s,l;return(u=Math.sqrt(n*n+t*t))&&(n/=u,t/=u),(l=n*e+
t*i)&&(e-=n*l,i-=t*l),(s=Math.sqrt(e*e+i*i))&&(e/=s,i/=s,l/=s),n*i<t*e&&(n=-n,t=-t,l=-l,u=-u),{translateX:r,translateY:o,
rotate:Math.atan2(t,n)*ne,skewX:Math.atan(l)*ne,scaleX:u,scaleY:s}}var $n;function ji(n){let t=new(typeof DOMMatrix=="fu\
nction"?DOMMatrix:WebKitCSSMatrix)(n+"");return t.isIdentity?Jn:ue(t.a,t.b,t.c,t.d,t.e,t.f)}function nr(n){return n==null||
($n||($n=document.createElementNS("http://www.w3.org/2000/svg","g")),$n.setAttribute("transform",n),!(n=$n.transform.baseVal.
consolidate()))?Jn:(n=n.matrix,ue(n.a,n.b,n.c,n.d,n.e,n.f))}function se(n,t,e,i){function r(a){return a.length?a.pop()+"\
 ":""}function o(a,h,f,c,_,p){if(a!==f||h!==c){var g=_.push("translate(",null,t,null,e);p.push({i:g-4,x:C(a,f)},{i:g-2,x:C(
h,c)})}else(f||c)&&_.push("translate("+f+t+c+e)}function u(a,h,f,c){a!==h?(a-h>180?h+=360:h-a>180&&(a+=360),c.push({i:f.
push(r(f)+"rotate(",null,i)-2,x:C(a,h)})):h&&f.push(r(f)+"rotate("+h+i)}function s(a,h,f,c){a!==h?c.push({i:f.push(r(f)+
"skewX(",null,i)-2,x:C(a,h)}):h&&f.push(r(f)+"skewX("+h+i)}function l(a,h,f,c,_,p){if(a!==f||h!==c){var g=_.push(r(_)+"s\
cale(",null,",",null,")");p.push({i:g-4,x:C(a,f)},{i:g-2,x:C(h,c)})}else(f!==1||c!==1)&&_.push(r(_)+"scale("+f+","+c+")")}
return function(a,h){var f=[],c=[];return a=n(a),h=n(h),o(a.translateX,a.translateY,h.translateX,h.translateY,f,c),u(a.rotate,
h.rotate,f,c),s(a.skewX,h.skewX,f,c),l(a.scaleX,a.scaleY,h.scaleX,h.scaleY,f,c),a=h=null,function(_){for(var p=-1,g=c.length,
m;++p<g;)f[(m=c[p]).i]=m.x(_);return f.join("")}}}var Uu=se(ji,"px, ","px)","deg)"),Qu=se(nr,", ",")",")"),tr=1e-12;function te(n){
return((n=Math.exp(n))+1/n)/2}function er(n){return((n=Math.exp(n))-1/n)/2}function ir(n){return((n=Math.exp(2*n))-1)/(n+
1)}var Gu=(function n(t,e,i){function r(o,u){var s=o[0],l=o[1],a=o[2],h=u[0],f=u[1],c=u[2],_=h-s,p=f-l,g=_*_+p*p,m,y;if(g<
tr)y=Math.log(c/a)/t,m=function(A){return[s+A*_,l+A*p,a*Math.exp(t*A*y)]};else{var w=Math.sqrt(g),v=(c*c-a*a+i*g)/(2*a*e*
w),x=(c*c-a*a-i*g)/(2*c*e*w),M=Math.log(Math.sqrt(v*v+1)-v),b=Math.log(Math.sqrt(x*x+1)-x);y=(b-M)/t,m=function(A){var z=A*
y,q=te(M),P=a/(e*w)*(q*ir(t*z+M)-er(M));return[s+P*_,l+P*p,a*q/te(t*z+M)]}}return m.duration=Math.abs(y)*1e3*t/Math.SQRT2,
m}return r.rho=function(o){var u=Math.max(.001,+o),s=u*u,l=s*s;return n(u,s,l)},r})(Math.SQRT2,2,4);function ae(n){return function(t,e){
var i=n((t=Nn(t)).h,(e=Nn(e)).h),r=T(t.s,e.s),o=T(t.l,e.l),u=T(t.opacity,e.opacity);return function(s){return t.h=i(s),t.
s=r(s),t.l=o(s),t.opacity=u(s),t+""}}}var Wu=ae(jn),Zu=ae(T);function le(n){return function(t,e){var i=n((t=An(t)).h,(e=An(e)).h),r=T(t.c,e.c),o=T(t.l,e.l),u=T(t.opacity,e.opacity);
return function(s){return t.h=i(s),t.c=r(s),t.l=o(s),t.opacity=u(s),t+""}}}var Ku=le(jn),Ju=le(T);function fe(n){return(function t(e){
e=+e;function i(r,o){var u=n((r=Sn(r)).h,(o=Sn(o)).h),s=T(r.s,o.s),l=T(r.l,o.l),a=T(r.opacity,o.opacity);return function(h){
return r.h=u(h),r.s=s(h),r.l=l(Math.pow(h,e)),r.opacity=a(h),r+""}}return i.gamma=t,i})(1)}var ju=fe(jn),ns=fe(T);function rr(n){return Math.abs(n=Math.round(n))>=1e21?n.toLocaleString("en").replace(/,/g,""):n.toString(10)}function qn(n,t){
if(!isFinite(n)||n===0)return null;var e=(n=t?n.toExponential(t-1):n.toExponential()).indexOf("e"),i=n.slice(0,e);return[
i.length>1?i[0]+i.slice(2):i,+n.slice(e+1)]}function en(n){return n=qn(Math.abs(n)),n?n[1]:NaN}function or(n,t){return function(e,i){
for(var r=e.length,o=[],u=0,s=n[0],l=0;r>0&&s>0&&(l+s+1>i&&(s=Math.max(1,i-l)),o.push(e.substring(r-=s,r+s)),!((l+=s+1)>
i));)s=n[u=(u+1)%n.length];return o.reverse().join(t)}}function ur(n){return function(t){return t.replace(/[0-9]/g,function(e){
return n[+e]})}}var sr=/^(?:(.)?([<>=^]))?([+\-( ])?([$#])?(0)?(\d+)?(,)?(\.\d+)?(~)?([a-z%])?$/i;function rn(n){if(!(t=
sr.exec(n)))throw new Error("invalid format: "+n);var t;return new nt({fill:t[1],align:t[2],sign:t[3],symbol:t[4],zero:t[5],
width:t[6],comma:t[7],precision:t[8]&&t[8].slice(1),trim:t[9],type:t[10]})}rn.prototype=nt.prototype;function nt(n){this.
fill=n.fill===void 0?" ":n.fill+"",this.align=n.align===void 0?">":n.align+"",this.sign=n.sign===void 0?"-":n.sign+"",this.
symbol=n.symbol===void 0?"":n.symbol+"",this.zero=!!n.zero,this.width=n.width===void 0?void 0:+n.width,this.comma=!!n.comma,
this.precision=n.precision===void 0?void 0:+n.precision,this.trim=!!n.trim,this.type=n.type===void 0?"":n.type+""}nt.prototype.
toString=function(){return this.fill+this.align+this.sign+this.symbol+(this.zero?"0":"")+(this.width===void 0?"":Math.max(
1,this.width|0))+(this.comma?",":"")+(this.precision===void 0?"":"."+Math.max(0,this.precision|0))+(this.trim?"~":"")+this.
type};function ar(n){n:for(var t=n.length,e=1,i=-1,r;e<t;++e)switch(n[e]){case".":i=r=e;break;case"0":i===0&&(i=e),r=e;break;default:
if(!+n[e])break n;i>0&&(i=0);break}return i>0?n.slice(0,i)+n.slice(r+1):n}var Pn;function lr(n,t){var e=qn(n,t);if(!e)return Pn=
void 0,n.toPrecision(t);var i=e[0],r=e[1],o=r-(Pn=Math.max(-8,Math.min(8,Math.floor(r/3)))*3)+1,u=i.length;return o===u?
i:o>u?i+new Array(o-u+1).join("0"):o>0?i.slice(0,o)+"."+i.slice(o):"0."+new Array(1-o).join("0")+qn(n,Math.max(0,t+o-1))[0]}
function ce(n,t){var e=qn(n,t);if(!e)return n+"";var i=e[0],r=e[1];return r<0?"0."+new Array(-r).join("0")+i:i.length>r+
1?i.slice(0,r+1)+"."+i.slice(r+1):i+new Array(r-i.length+2).join("0")}var he={"%":(n,t)=>(n*100).toFixed(t),b:n=>Math.round(
n).toString(2),c:n=>n+"",d:rr,e:(n,t)=>n.toExponential(t),f:(n,t)=>n.toFixed(t),g:(n,t)=>n.toPrecision(t),o:n=>Math.round(
n).toString(8),p:(n,t)=>ce(n*100,t),r:ce,s:lr,X:n=>Math.round(n).toString(16).toUpperCase(),x:n=>Math.round(n).toString(
16)};function _e(n){return n}var pe=Array.prototype.map,ge=["y","z","a","f","p","n","\xB5","m","","k","M","G","T","P","E",
"Z","Y"];function fr(n){var t=n.grouping===void 0||n.thousands===void 0?_e:or(pe.call(n.grouping,Number),n.thousands+""),
e=n.currency===void 0?"":n.currency[0]+"",i=n.currency===void 0?"":n.currency[1]+"",r=n.decimal===void 0?".":n.decimal+"",
o=n.numerals===void 0?_e:ur(pe.call(n.numerals,String)),u=n.percent===void 0?"%":n.percent+"",s=n.minus===void 0?"\u2212":
n.minus+"",l=n.nan===void 0?"NaN":n.nan+"";function a(f,c){f=rn(f);var _=f.fill,p=f.align,g=f.sign,m=f.symbol,y=f.zero,w=f.
width,v=f.comma,x=f.precision,M=f.trim,b=f.type;b==="n"?(v=!0,b="g"):he[b]||(x===void 0&&(x=12),M=!0,b="g"),(y||_==="0"&&
p==="=")&&(y=!0,_="0",p="=");var A=(c&&c.prefix!==void 0?c.prefix:"")+(m==="$"?e:m==="#"&&/[boxX]/.test(b)?"0"+b.toLowerCase():
""),z=(m==="$"?i:/[%p]/.test(b)?u:"")+(c&&c.suffix!==void 0?c.suffix:""),q=he[b],P=/[defgprs%]/.test(b);x=x===void 0?6:/[gprs]/.
test(b)?Math.max(1,Math.min(21,x)):Math.max(0,Math.min(20,x));function F(d){var $=A,E=z,G,Mt,gn;if(b==="c")E=q(d)+E,d="";else{
d=+d;var dn=d<0||1/d<0;if(d=isNaN(d)?l:q(Math.abs(d),x),M&&(d=ar(d)),dn&&+d==0&&g!=="+"&&(dn=!1),$=(dn?g==="("?g:s:g==="\
-"||g==="("?"":g)+$,E=(b==="s"&&!isNaN(d)&&Pn!==void 0?ge[8+Pn/3]:"")+E+(dn&&g==="("?")":""),P){for(G=-1,Mt=d.length;++G<
Mt;)if(gn=d.charCodeAt(G),48>gn||gn>57){E=(gn===46?r+d.slice(G+1):d.slice(G))+E,d=d.slice(0,G);break}}}v&&!y&&(d=t(d,1/0));
var mn=$.length+d.length+E.length,L=mn<w?new Array(w-mn+1).join(_):"";switch(v&&y&&(d=t(L+d,L.length?w-E.length:1/0),L=""),
p){case"<":d=$+d+E+L;break;case"=":d=$+L+d+E;break;case"^":d=L.slice(0,mn=L.length>>1)+$+d+E+L.slice(mn);break;default:d=
L+$+d+E;break}return o(d)}return F.toString=function(){return f+""},F}function h(f,c){var _=Math.max(-8,Math.min(8,Math.
floor(en(c)/3)))*3,p=Math.pow(10,-_),g=a((f=rn(f),f.type="f",f),{suffix:ge[8+_/3]});return function(m){return g(p*m)}}return{
format:a,formatPrefix:h}}var Cn,On,tt;cr({thousands:",",grouping:[3],currency:["$",""]});function cr(n){return Cn=fr(n),
On=Cn.format,tt=Cn.formatPrefix,Cn}function de(n){return Math.max(0,-en(Math.abs(n)))}function me(n,t){return Math.max(0,
Math.max(-8,Math.min(8,Math.floor(en(t)/3)))*3-en(Math.abs(n)))}function ye(n,t){return n=Math.abs(n),t=Math.abs(t)-n,Math.
max(0,en(t)-en(n))+1}function Me(n,t){switch(arguments.length){case 0:break;case 1:this.range(n);break;default:this.range(t).domain(n);break}
return this}function hr(n){return function(){return n}}function _r(n){return+n}var xe=[0,1];function on(n){return n}function et(n,t){
return(t-=n=+n)?function(e){return(e-n)/t}:hr(isNaN(t)?NaN:.5)}function pr(n,t){var e;return n>t&&(e=n,n=t,t=e),function(i){
return Math.max(n,Math.min(t,i))}}function gr(n,t,e){var i=n[0],r=n[1],o=t[0],u=t[1];return r<i?(i=et(r,i),o=e(u,o)):(i=
et(i,r),o=e(o,u)),function(s){return o(i(s))}}function dr(n,t,e){var i=Math.min(n.length,t.length)-1,r=new Array(i),o=new Array(
i),u=-1;for(n[i]<n[0]&&(n=n.slice().reverse(),t=t.slice().reverse());++u<i;)r[u]=et(n[u],n[u+1]),o[u]=e(t[u],t[u+1]);return function(s){
var l=At(n,s,1,i)-1;return o[l](r[l](s))}}function ke(n,t){return t.domain(n.domain()).range(n.range()).interpolate(n.interpolate()).
clamp(n.clamp()).unknown(n.unknown())}function Ne(){var n=xe,t=xe,e=Rn,i,r,o,u=on,s,l,a;function h(){var c=Math.min(n.length,
t.length);return u!==on&&(u=pr(n[0],n[c-1])),s=c>2?dr:gr,l=a=null,f}function f(c){return c==null||isNaN(c=+c)?o:(l||(l=s(
n.map(i),t,e)))(i(u(c)))}return f.invert=function(c){return u(r((a||(a=s(t,n.map(i),C)))(c)))},f.domain=function(c){return arguments.
length?(n=Array.from(c,_r),h()):n.slice()},f.range=function(c){return arguments.length?(t=Array.from(c),h()):t.slice()},
f.rangeRound=function(c){return t=Array.from(c),e=oe,h()},f.clamp=function(c){return arguments.length?(u=c?!0:on,h()):u!==
on},f.interpolate=function(c){return arguments.length?(e=c,h()):e},f.unknown=function(c){return arguments.length?(o=c,f):
o},function(c,_){return i=c,r=_,h()}}function mr(){return Ne()(on,on)}function yr(n,t,e,i){var r=$t(n,t,e),o;switch(i=rn(
i??",f"),i.type){case"s":{var u=Math.max(Math.abs(n),Math.abs(t));return i.precision==null&&!isNaN(o=me(r,u))&&(i.precision=
o),tt(i,u)}case"":case"e":case"g":case"p":case"r":{i.precision==null&&!isNaN(o=ye(r,Math.max(Math.abs(n),Math.abs(t))))&&
(i.precision=o-(i.type==="e"));break}case"f":case"%":{i.precision==null&&!isNaN(o=de(r))&&(i.precision=o-(i.type==="%")*
2);break}}return On(i)}function xr(n){var t=n.domain;return n.ticks=function(e){var i=t();return wn(i[0],i[i.length-1],e??
10)},n.tickFormat=function(e,i){var r=t();return yr(r[0],r[r.length-1],e??10,i)},n.nice=function(e){e==null&&(e=10);var i=t(),
r=0,o=i.length-1,u=i[r],s=i[o],l,a,h=10;for(s<u&&(a=u,u=s,s=a,a=r,r=o,o=a);h-- >0;){if(a=xn(u,s,e),a===l)return i[r]=u,i[o]=
s,t(i);if(a>0)u=Math.floor(u/a)*a,s=Math.ceil(s/a)*a;else if(a<0)u=Math.ceil(u*a)/a,s=Math.floor(s*a)/a;else break;l=a}return n},
n}function it(){var n=mr();return n.copy=function(){return ke(n,it())},Me.apply(n,arguments),xr(n)}function wr(n,t){n=n.slice();var e=0,i=n.length-1,r=n[e],o=n[i],u;return o<r&&(u=e,e=i,i=u,u=r,r=o,o=u),n[e]=t.floor(r),
n[i]=t.ceil(o),n}function we(n){return Math.log(n)}function ve(n){return Math.exp(n)}function vr(n){return-Math.log(-n)}
function br(n){return-Math.exp(-n)}function Mr(n){return isFinite(n)?+("1e"+n):n<0?0:n}function kr(n){return n===10?Mr:n===
Math.E?Math.exp:t=>Math.pow(n,t)}function Nr(n){return n===Math.E?Math.log:n===10&&Math.log10||n===2&&Math.log2||(n=Math.
log(n),t=>Math.log(t)/n)}function be(n){return(t,e)=>-n(-t,e)}function Ar(n){let t=n(we,ve),e=t.domain,i=10,r,o;function u(){
return r=Nr(i),o=kr(i),e()[0]<0?(r=be(r),o=be(o),n(vr,br)):n(we,ve),t}return t.base=function(s){return arguments.length?
(i=+s,u()):i},t.domain=function(s){return arguments.length?(e(s),u()):e()},t.ticks=s=>{let l=e(),a=l[0],h=l[l.length-1],
f=h<a;f&&([a,h]=[h,a]);let c=r(a),_=r(h),p,g,m=s==null?10:+s,y=[];if(!(i%1)&&_-c<m){if(c=Math.floor(c),_=Math.ceil(_),a>
0){for(;c<=_;++c)for(p=1;p<i;++p)if(g=c<0?p/o(-c):p*o(c),!(g<a)){if(g>h)break;y.push(g)}}else for(;c<=_;++c)for(p=i-1;p>=
1;--p)if(g=c>0?p/o(-c):p*o(c),!(g<a)){if(g>h)break;y.push(g)}y.length*2<m&&(y=wn(a,h,m))}else y=wn(c,_,Math.min(_-c,m)).
map(o);return f?y.reverse():y},t.tickFormat=(s,l)=>{if(s==null&&(s=10),l==null&&(l=i===10?"s":","),typeof l!="function"&&
(!(i%1)&&(l=rn(l)).precision==null&&(l.trim=!0),l=On(l)),s===1/0)return l;let a=Math.max(1,i*s/t.ticks().length);return h=>{
let f=h/o(Math.round(r(h)));return f*i<i-.5&&(f*=i),f<=a?l(h):""}},t.nice=()=>e(wr(e(),{floor:s=>o(Math.floor(r(s))),ceil:s=>o(
Math.ceil(r(s)))})),t}function rt(){let n=Ar(Ne()).domain([1,10]);return n.copy=()=>ke(n,rt()).base(n.base()),Me.apply(n,
arguments),n}var _n=Math.PI,ot=2*_n,Q=1e-6,Tr=ot-Q;function Ae(n){this._+=n[0];for(let t=1,e=n.length;t<e;++t)this._+=arguments[t]+n[t]}
function Sr(n){let t=Math.floor(n);if(!(t>=0))throw new Error(`invalid digits: ${n}`);if(t>15)return Ae;let e=10**t;return function(i){
this._+=i[0];for(let r=1,o=i.length;r<o;++r)this._+=Math.round(arguments[r]*e)/e+i[r]}}function Te(n,t,e,i){return n===e&&
t===i}function $r(n){let t=Math.floor(n);if(!(t<=15))return Te;let e=10**t,i=function(r){return Math.round(r*e)};return function(r,o,u,s){
return i(r)===i(u)&&i(o)===i(s)}}var un=class{constructor(t){this._x0=this._y0=this._x1=this._y1=null,this._="",this._append=
t==null?Ae:Sr(t),this._equal=t==null?Te:$r(t)}moveTo(t,e){this._append`M${this._x0=this._x1=+t},${this._y0=this._y1=+e}`}closePath(){
this._x1!==null&&(this._x1=this._x0,this._y1=this._y0,this._append`Z`)}lineTo(t,e){this._append`L${this._x1=+t},${this._y1=
+e}`}quadraticCurveTo(t,e,i,r){this._append`Q${+t},${+e},${this._x1=+i},${this._y1=+r}`}bezierCurveTo(t,e,i,r,o,u){this.
_append`C${+t},${+e},${+i},${+r},${this._x1=+o},${this._y1=+u}`}arcTo(t,e,i,r,o){if(t=+t,e=+e,i=+i,r=+r,o=+o,o<0)throw new Error(
`negative radius: ${o}`);let u=this._x1,s=this._y1,l=i-t,a=r-e,h=u-t,f=s-e,c=h*h+f*f;if(this._x1===null)this._append`M${this.
_x1=t},${this._y1=e}`;else if(c>Q)if(!(Math.abs(f*l-a*h)>Q)||!o)this._append`L${this._x1=t},${this._y1=e}`;else{let _=i-
u,p=r-s,g=l*l+a*a,m=_*_+p*p,y=Math.sqrt(g),w=Math.sqrt(c),v=o*Math.tan((_n-Math.acos((g+c-m)/(2*y*w)))/2),x=v/w,M=v/y;Math.
abs(x-1)>Q&&this._append`L${t+x*h},${e+x*f}`,this._append`A${o},${o},0,0,${+(f*_>h*p)},${this._x1=t+M*l},${this._y1=e+M*
a}`}}arc(t,e,i,r,o,u){if(t=+t,e=+e,i=+i,u=!!u,i<0)throw new Error(`negative radius: ${i}`);let s=i*Math.cos(r),l=i*Math.
sin(r),a=t+s,h=e+l,f=1^u,c=u?r-o:o-r;if(this._x1===null?this._append`M${a},${h}`:(Math.abs(this._x1-a)>Q||Math.abs(this.
_y1-h)>Q)&&this._append`L${a},${h}`,!!i){if(c<0&&(c=c%ot+ot),c>Tr)this._append`A${i},${i},0,1,${f},${t-s},${e-l}A${i},${i},0,1,${f},${this.
_x1=a},${this._y1=h}`;else if(c>Q){let _=t+i*Math.cos(o),p=e+i*Math.sin(o);if(c>=_n&&this._equal(a,h,_,p)){c/=2;let g=r+
c;this._append`A${i},${i},0,${+(c>=_n)},${f},${t+i*Math.cos(g)},${e+i*Math.sin(g)}`}this._append`A${i},${i},0,${+(c>=_n)},${f},${this.
_x1=_},${this._y1=p}`}}}rect(t,e,i,r){this._append`M${this._x0=this._x1=+t},${this._y0=this._y1=+e}h${i=+i}v${+r}h${-i}Z`}toString(){
return this._}};function Er(){return new un}Er.prototype=un.prototype;function N(n){return function(){return n}}var Rr=Math.cos;var st=Math.sin,sn=Math.sqrt,Se=1e-12,In=Math.PI,ps=In/2,qe=2*In;function Pe(n){let t=3;return n.digits=function(e){if(!arguments.length)return t;if(e==null)t=null;else{let i=Math.floor(
e);if(!(i>=0))throw new RangeError(`invalid digits: ${e}`);t=i}return n},()=>new un(t)}var gs=Array.prototype.slice;function Oe(n){return typeof n=="object"&&"length"in n?n:Array.from(n)}function Ie(n){this.
_context=n}Ie.prototype={areaStart:function(){this._line=0},areaEnd:function(){this._line=NaN},lineStart:function(){this.
_point=0},lineEnd:function(){(this._line||this._line!==0&&this._point===1)&&this._context.closePath(),this._line=1-this.
_line},point:function(n,t){switch(n=+n,t=+t,this._point){case 0:this._point=1,this._line?this._context.lineTo(n,t):this.
_context.moveTo(n,t);break;case 1:this._point=2;default:this._context.lineTo(n,t);break}}};function at(n){return new Ie(
n)}function Le(n){return n[0]}function De(n){return n[1]}function lt(n,t){var e=N(!0),i=null,r=at,o=null,u=Pe(s);n=typeof n==
"function"?n:n===void 0?Le:N(n),t=typeof t=="function"?t:t===void 0?De:N(t);function s(l){var a,h=(l=Oe(l)).length,f,c=!1,
_;for(i==null&&(o=r(_=u())),a=0;a<=h;++a)!(a<h&&e(f=l[a],a,l))===c&&((c=!c)?o.lineStart():o.lineEnd()),c&&o.point(+n(f,a,
l),+t(f,a,l));if(_)return o=null,_+""||null}return s.x=function(l){return arguments.length?(n=typeof l=="function"?l:N(+l),
s):n},s.y=function(l){return arguments.length?(t=typeof l=="function"?l:N(+l),s):t},s.defined=function(l){return arguments.
length?(e=typeof l=="function"?l:N(!!l),s):e},s.curve=function(l){return arguments.length?(r=l,i!=null&&(o=r(i)),s):r},s.
context=function(l){return arguments.length?(l==null?i=o=null:o=r(i=l),s):i},s}function ze(n,t,e){var i=null,r=N(!0),o=null,
u=at,s=null,l=Pe(a);n=typeof n=="function"?n:n===void 0?Le:N(+n),t=typeof t=="function"?t:N(t===void 0?0:+t),e=typeof e==
"function"?e:e===void 0?De:N(+e);function a(f){var c,_,p,g=(f=Oe(f)).length,m,y=!1,w,v=new Array(g),x=new Array(g);for(o==
null&&(s=u(w=l())),c=0;c<=g;++c){if(!(c<g&&r(m=f[c],c,f))===y)if(y=!y)_=c,s.areaStart(),s.lineStart();else{for(s.lineEnd(),
s.lineStart(),p=c-1;p>=_;--p)s.point(v[p],x[p]);s.lineEnd(),s.areaEnd()}y&&(v[c]=+n(m,c,f),x[c]=+t(m,c,f),s.point(i?+i(m,
c,f):v[c],e?+e(m,c,f):x[c]))}if(w)return s=null,w+""||null}function h(){return lt().defined(r).curve(u).context(o)}return a.
x=function(f){return arguments.length?(n=typeof f=="function"?f:N(+f),i=null,a):n},a.x0=function(f){return arguments.length?
(n=typeof f=="function"?f:N(+f),a):n},a.x1=function(f){return arguments.length?(i=f==null?null:typeof f=="function"?f:N(
+f),a):i},a.y=function(f){return arguments.length?(t=typeof f=="function"?f:N(+f),e=null,a):t},a.y0=function(f){return arguments.
length?(t=typeof f=="function"?f:N(+f),a):t},a.y1=function(f){return arguments.length?(e=f==null?null:typeof f=="functio\
n"?f:N(+f),a):e},a.lineX0=a.lineY0=function(){return h().x(n).y(t)},a.lineY1=function(){return h().x(n).y(e)},a.lineX1=function(){
return h().x(i).y(t)},a.defined=function(f){return arguments.length?(r=typeof f=="function"?f:N(!!f),a):r},a.curve=function(f){
return arguments.length?(u=f,o!=null&&(s=u(o)),a):u},a.context=function(f){return arguments.length?(f==null?o=s=null:s=u(
o=f),a):o},a}var ds=Cr(at);function Fe(n){this._curve=n}Fe.prototype={areaStart:function(){this._curve.areaStart()},areaEnd:function(){
this._curve.areaEnd()},lineStart:function(){this._curve.lineStart()},lineEnd:function(){this._curve.lineEnd()},point:function(n,t){
this._curve.point(t*Math.sin(n),t*-Math.cos(n))}};function Cr(n){function t(e){return new Fe(n(e))}return t._curve=n,t}var ms=sn(3);var qr=sn(1/3),ys=qr*2;var Be=st(In/10)/st(7*In/10),xs=st(qe/10)*Be,ws=-Rr(qe/10)*Be;var vs=sn(3);var bs=sn(3);var Ms=sn(3)/2,Pr=1/sn(12),ks=(Pr/2+1)*3;function X(){}function Ln(n,t,e){n._context.bezierCurveTo((2*n._x0+n._x1)/3,(2*n._y0+n._y1)/3,(n._x0+2*n._x1)/3,(n._y0+2*
n._y1)/3,(n._x0+4*n._x1+t)/6,(n._y0+4*n._y1+e)/6)}function ft(n){this._context=n}ft.prototype={areaStart:function(){this.
_line=0},areaEnd:function(){this._line=NaN},lineStart:function(){this._x0=this._x1=this._y0=this._y1=NaN,this._point=0},
lineEnd:function(){switch(this._point){case 3:Ln(this,this._x1,this._y1);case 2:this._context.lineTo(this._x1,this._y1);
break}(this._line||this._line!==0&&this._point===1)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){
switch(n=+n,t=+t,this._point){case 0:this._point=1,this._line?this._context.lineTo(n,t):this._context.moveTo(n,t);break;case 1:
this._point=2;break;case 2:this._point=3,this._context.lineTo((5*this._x0+this._x1)/6,(5*this._y0+this._y1)/6);default:Ln(
this,n,t);break}this._x0=this._x1,this._x1=n,this._y0=this._y1,this._y1=t}};function Or(n){this._context=n}Or.prototype={areaStart:X,areaEnd:X,lineStart:function(){this._x0=this._x1=this._x2=this.
_x3=this._x4=this._y0=this._y1=this._y2=this._y3=this._y4=NaN,this._point=0},lineEnd:function(){switch(this._point){case 1:{
this._context.moveTo(this._x2,this._y2),this._context.closePath();break}case 2:{this._context.moveTo((this._x2+2*this._x3)/
3,(this._y2+2*this._y3)/3),this._context.lineTo((this._x3+2*this._x2)/3,(this._y3+2*this._y2)/3),this._context.closePath();
break}case 3:{this.point(this._x2,this._y2),this.point(this._x3,this._y3),this.point(this._x4,this._y4);break}}},point:function(n,t){
switch(n=+n,t=+t,this._point){case 0:this._point=1,this._x2=n,this._y2=t;break;case 1:this._point=2,this._x3=n,this._y3=
t;break;case 2:this._point=3,this._x4=n,this._y4=t,this._context.moveTo((this._x0+4*this._x1+n)/6,(this._y0+4*this._y1+t)/
6);break;default:Ln(this,n,t);break}this._x0=this._x1,this._x1=n,this._y0=this._y1,this._y1=t}};function Ir(n){this._context=n}Ir.prototype={areaStart:function(){this._line=0},areaEnd:function(){this._line=NaN},lineStart:function(){
this._x0=this._x1=this._y0=this._y1=NaN,this._point=0},lineEnd:function(){(this._line||this._line!==0&&this._point===3)&&
this._context.closePath(),this._line=1-this._line},point:function(n,t){switch(n=+n,t=+t,this._point){case 0:this._point=
1;break;case 1:this._point=2;break;case 2:this._point=3;var e=(this._x0+4*this._x1+n)/6,i=(this._y0+4*this._y1+t)/6;this.
_line?this._context.lineTo(e,i):this._context.moveTo(e,i);break;case 3:this._point=4;default:Ln(this,n,t);break}this._x0=
this._x1,this._x1=n,this._y0=this._y1,this._y1=t}};function Xe(n,t){this._basis=new ft(n),this._beta=t}Xe.prototype={lineStart:function(){this._x=[],this._y=[],this._basis.
lineStart()},lineEnd:function(){var n=this._x,t=this._y,e=n.length-1;if(e>0)for(var i=n[0],r=t[0],o=n[e]-i,u=t[e]-r,s=-1,
l;++s<=e;)l=s/e,this._basis.point(this._beta*n[s]+(1-this._beta)*(i+l*o),this._beta*t[s]+(1-this._beta)*(r+l*u));this._x=
this._y=null,this._basis.lineEnd()},point:function(n,t){this._x.push(+n),this._y.push(+t)}};var Ns=(function n(t){function e(i){
return t===1?new ft(i):new Xe(i,t)}return e.beta=function(i){return n(+i)},e})(.85);function Dn(n,t,e){n._context.bezierCurveTo(
n._x1+n._k*(n._x2-n._x0),n._y1+n._k*(n._y2-n._y0),n._x2+n._k*(n._x1-t),n._y2+n._k*(n._y1-e),n._x2,n._y2)}function ct(n,t){
this._context=n,this._k=(1-t)/6}ct.prototype={areaStart:function(){this._line=0},areaEnd:function(){this._line=NaN},lineStart:function(){
this._x0=this._x1=this._x2=this._y0=this._y1=this._y2=NaN,this._point=0},lineEnd:function(){switch(this._point){case 2:this.
_context.lineTo(this._x2,this._y2);break;case 3:Dn(this,this._x1,this._y1);break}(this._line||this._line!==0&&this._point===
1)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){switch(n=+n,t=+t,this._point){case 0:this._point=
1,this._line?this._context.lineTo(n,t):this._context.moveTo(n,t);break;case 1:this._point=2,this._x1=n,this._y1=t;break;case 2:
this._point=3;default:Dn(this,n,t);break}this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this._y1,this._y1=this.
_y2,this._y2=t}};var As=(function n(t){function e(i){return new ct(i,t)}return e.tension=function(i){return n(+i)},e})(0);
function ht(n,t){this._context=n,this._k=(1-t)/6}ht.prototype={areaStart:X,areaEnd:X,lineStart:function(){this._x0=this.
_x1=this._x2=this._x3=this._x4=this._x5=this._y0=this._y1=this._y2=this._y3=this._y4=this._y5=NaN,this._point=0},lineEnd:function(){
switch(this._point){case 1:{this._context.moveTo(this._x3,this._y3),this._context.closePath();break}case 2:{this._context.
lineTo(this._x3,this._y3),this._context.closePath();break}case 3:{this.point(this._x3,this._y3),this.point(this._x4,this.
_y4),this.point(this._x5,this._y5);break}}},point:function(n,t){switch(n=+n,t=+t,this._point){case 0:this._point=1,this.
_x3=n,this._y3=t;break;case 1:this._point=2,this._context.moveTo(this._x4=n,this._y4=t);break;case 2:this._point=3,this.
_x5=n,this._y5=t;break;default:Dn(this,n,t);break}this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this._y1,this.
_y1=this._y2,this._y2=t}};var Ts=(function n(t){function e(i){return new ht(i,t)}return e.tension=function(i){return n(+i)},
e})(0);function _t(n,t){this._context=n,this._k=(1-t)/6}_t.prototype={areaStart:function(){this._line=0},areaEnd:function(){
this._line=NaN},lineStart:function(){this._x0=this._x1=this._x2=this._y0=this._y1=this._y2=NaN,this._point=0},lineEnd:function(){
(this._line||this._line!==0&&this._point===3)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){switch(n=
+n,t=+t,this._point){case 0:this._point=1;break;case 1:this._point=2;break;case 2:this._point=3,this._line?this._context.
lineTo(this._x2,this._y2):this._context.moveTo(this._x2,this._y2);break;case 3:this._point=4;default:Dn(this,n,t);break}
this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this._y1,this._y1=this._y2,this._y2=t}};var Ss=(function n(t){function e(i){
return new _t(i,t)}return e.tension=function(i){return n(+i)},e})(0);function pt(n,t,e){var i=n._x1,r=n._y1,o=n._x2,u=n.
_y2;if(n._l01_a>Se){var s=2*n._l01_2a+3*n._l01_a*n._l12_a+n._l12_2a,l=3*n._l01_a*(n._l01_a+n._l12_a);i=(i*s-n._x0*n._l12_2a+
n._x2*n._l01_2a)/l,r=(r*s-n._y0*n._l12_2a+n._y2*n._l01_2a)/l}if(n._l23_a>Se){var a=2*n._l23_2a+3*n._l23_a*n._l12_a+n._l12_2a,
h=3*n._l23_a*(n._l23_a+n._l12_a);o=(o*a+n._x1*n._l23_2a-t*n._l12_2a)/h,u=(u*a+n._y1*n._l23_2a-e*n._l12_2a)/h}n._context.
bezierCurveTo(i,r,o,u,n._x2,n._y2)}function He(n,t){this._context=n,this._alpha=t}He.prototype={areaStart:function(){this.
_line=0},areaEnd:function(){this._line=NaN},lineStart:function(){this._x0=this._x1=this._x2=this._y0=this._y1=this._y2=NaN,
this._l01_a=this._l12_a=this._l23_a=this._l01_2a=this._l12_2a=this._l23_2a=this._point=0},lineEnd:function(){switch(this.
_point){case 2:this._context.lineTo(this._x2,this._y2);break;case 3:this.point(this._x2,this._y2);break}(this._line||this.
_line!==0&&this._point===1)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){if(n=+n,t=+t,this._point){
var e=this._x2-n,i=this._y2-t;this._l23_a=Math.sqrt(this._l23_2a=Math.pow(e*e+i*i,this._alpha))}switch(this._point){case 0:
this._point=1,this._line?this._context.lineTo(n,t):this._context.moveTo(n,t);break;case 1:this._point=2;break;case 2:this.
_point=3;default:pt(this,n,t);break}this._l01_a=this._l12_a,this._l12_a=this._l23_a,this._l01_2a=this._l12_2a,this._l12_2a=
this._l23_2a,this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this._y1,this._y1=this._y2,this._y2=t}};var $s=(function n(t){
function e(i){return t?new He(i,t):new ct(i,0)}return e.alpha=function(i){return n(+i)},e})(.5);function Ve(n,t){this._context=
n,this._alpha=t}Ve.prototype={areaStart:X,areaEnd:X,lineStart:function(){this._x0=this._x1=this._x2=this._x3=this._x4=this.
_x5=this._y0=this._y1=this._y2=this._y3=this._y4=this._y5=NaN,this._l01_a=this._l12_a=this._l23_a=this._l01_2a=this._l12_2a=
this._l23_2a=this._point=0},lineEnd:function(){switch(this._point){case 1:{this._context.moveTo(this._x3,this._y3),this.
_context.closePath();break}case 2:{this._context.lineTo(this._x3,this._y3),this._context.closePath();break}case 3:{this.
point(this._x3,this._y3),this.point(this._x4,this._y4),this.point(this._x5,this._y5);break}}},point:function(n,t){if(n=+n,
t=+t,this._point){var e=this._x2-n,i=this._y2-t;this._l23_a=Math.sqrt(this._l23_2a=Math.pow(e*e+i*i,this._alpha))}switch(this.
_point){case 0:this._point=1,this._x3=n,this._y3=t;break;case 1:this._point=2,this._context.moveTo(this._x4=n,this._y4=t);
break;case 2:this._point=3,this._x5=n,this._y5=t;break;default:pt(this,n,t);break}this._l01_a=this._l12_a,this._l12_a=this.
_l23_a,this._l01_2a=this._l12_2a,this._l12_2a=this._l23_2a,this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this.
_y1,this._y1=this._y2,this._y2=t}};var Es=(function n(t){function e(i){return t?new Ve(i,t):new ht(i,0)}return e.alpha=function(i){
return n(+i)},e})(.5);function Ye(n,t){this._context=n,this._alpha=t}Ye.prototype={areaStart:function(){this._line=0},areaEnd:function(){
this._line=NaN},lineStart:function(){this._x0=this._x1=this._x2=this._y0=this._y1=this._y2=NaN,this._l01_a=this._l12_a=this.
_l23_a=this._l01_2a=this._l12_2a=this._l23_2a=this._point=0},lineEnd:function(){(this._line||this._line!==0&&this._point===
3)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){if(n=+n,t=+t,this._point){var e=this._x2-n,i=this.
_y2-t;this._l23_a=Math.sqrt(this._l23_2a=Math.pow(e*e+i*i,this._alpha))}switch(this._point){case 0:this._point=1;break;case 1:
this._point=2;break;case 2:this._point=3,this._line?this._context.lineTo(this._x2,this._y2):this._context.moveTo(this._x2,
this._y2);break;case 3:this._point=4;default:pt(this,n,t);break}this._l01_a=this._l12_a,this._l12_a=this._l23_a,this._l01_2a=
this._l12_2a,this._l12_2a=this._l23_2a,this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this._y1,this._y1=this._y2,
this._y2=t}};var Rs=(function n(t){function e(i){return t?new Ye(i,t):new _t(i,0)}return e.alpha=function(i){return n(+i)},
e})(.5);function Lr(n){this._context=n}Lr.prototype={areaStart:X,areaEnd:X,lineStart:function(){this._point=0},lineEnd:function(){
this._point&&this._context.closePath()},point:function(n,t){n=+n,t=+t,this._point?this._context.lineTo(n,t):(this._point=
1,this._context.moveTo(n,t))}};function $e(n){return n<0?-1:1}function Ee(n,t,e){var i=n._x1-n._x0,r=t-n._x1,o=(n._y1-n._y0)/(i||r<0&&-0),u=(e-n._y1)/(r||
i<0&&-0),s=(o*r+u*i)/(i+r);return($e(o)+$e(u))*Math.min(Math.abs(o),Math.abs(u),.5*Math.abs(s))||0}function Re(n,t){var e=n.
_x1-n._x0;return e?(3*(n._y1-n._y0)/e-t)/2:t}function ut(n,t,e){var i=n._x0,r=n._y0,o=n._x1,u=n._y1,s=(o-i)/3;n._context.
bezierCurveTo(i+s,r+s*t,o-s,u-s*e,o,u)}function zn(n){this._context=n}zn.prototype={areaStart:function(){this._line=0},areaEnd:function(){
this._line=NaN},lineStart:function(){this._x0=this._x1=this._y0=this._y1=this._t0=NaN,this._point=0},lineEnd:function(){
switch(this._point){case 2:this._context.lineTo(this._x1,this._y1);break;case 3:ut(this,this._t0,Re(this,this._t0));break}
(this._line||this._line!==0&&this._point===1)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){var e=NaN;
if(n=+n,t=+t,!(n===this._x1&&t===this._y1)){switch(this._point){case 0:this._point=1,this._line?this._context.lineTo(n,t):
this._context.moveTo(n,t);break;case 1:this._point=2;break;case 2:this._point=3,ut(this,Re(this,e=Ee(this,n,t)),e);break;default:
ut(this,this._t0,e=Ee(this,n,t));break}this._x0=this._x1,this._x1=n,this._y0=this._y1,this._y1=t,this._t0=e}}};function Dr(n){
this._context=new Ue(n)}(Dr.prototype=Object.create(zn.prototype)).point=function(n,t){zn.prototype.point.call(this,t,n)};
function Ue(n){this._context=n}Ue.prototype={moveTo:function(n,t){this._context.moveTo(t,n)},closePath:function(){this._context.
closePath()},lineTo:function(n,t){this._context.lineTo(t,n)},bezierCurveTo:function(n,t,e,i,r,o){this._context.bezierCurveTo(
t,n,i,e,o,r)}};function Qe(n){return new zn(n)}function zr(n){this._context=n}zr.prototype={areaStart:function(){this._line=0},areaEnd:function(){this._line=NaN},lineStart:function(){
this._x=[],this._y=[]},lineEnd:function(){var n=this._x,t=this._y,e=n.length;if(e)if(this._line?this._context.lineTo(n[0],
t[0]):this._context.moveTo(n[0],t[0]),e===2)this._context.lineTo(n[1],t[1]);else for(var i=Ce(n),r=Ce(t),o=0,u=1;u<e;++o,
++u)this._context.bezierCurveTo(i[0][o],r[0][o],i[1][o],r[1][o],n[u],t[u]);(this._line||this._line!==0&&e===1)&&this._context.
closePath(),this._line=1-this._line,this._x=this._y=null},point:function(n,t){this._x.push(+n),this._y.push(+t)}};function Ce(n){
var t,e=n.length-1,i,r=new Array(e),o=new Array(e),u=new Array(e);for(r[0]=0,o[0]=2,u[0]=n[0]+2*n[1],t=1;t<e-1;++t)r[t]=
1,o[t]=4,u[t]=4*n[t]+2*n[t+1];for(r[e-1]=2,o[e-1]=7,u[e-1]=8*n[e-1]+n[e],t=1;t<e;++t)i=r[t]/o[t-1],o[t]-=i,u[t]-=i*u[t-1];
for(r[e-1]=u[e-1]/o[e-1],t=e-2;t>=0;--t)r[t]=(u[t]-r[t+1])/o[t];for(o[e-1]=(n[e]+r[e-1])/2,t=0;t<e-1;++t)o[t]=2*n[t+1]-r[t+
1];return[r,o]}function Fr(n,t){this._context=n,this._t=t}Fr.prototype={areaStart:function(){this._line=0},areaEnd:function(){this._line=
NaN},lineStart:function(){this._x=this._y=NaN,this._point=0},lineEnd:function(){0<this._t&&this._t<1&&this._point===2&&this.
_context.lineTo(this._x,this._y),(this._line||this._line!==0&&this._point===1)&&this._context.closePath(),this._line>=0&&
(this._t=1-this._t,this._line=1-this._line)},point:function(n,t){switch(n=+n,t=+t,this._point){case 0:this._point=1,this.
_line?this._context.lineTo(n,t):this._context.moveTo(n,t);break;case 1:this._point=2;default:{if(this._t<=0)this._context.
lineTo(this._x,t),this._context.lineTo(n,t);else{var e=this._x*(1-this._t)+n*this._t;this._context.lineTo(e,this._y),this.
_context.lineTo(e,t)}break}}this._x=n,this._y=t}};function Br(n){return n}var gt=1,dt=2,mt=3,pn=4,Ge=1e-6;function Xr(n){return"translate("+n+",0)"}function Hr(n){return"\
translate(0,"+n+")"}function Vr(n){return t=>+n(t)}function Yr(n,t){return t=Math.max(0,n.bandwidth()-t*2)/2,n.round()&&
(t=Math.round(t)),e=>+n(e)+t}function Ur(){return!this.__axis}function We(n,t){var e=[],i=null,r=null,o=6,u=6,s=3,l=typeof window<
"u"&&window.devicePixelRatio>1?0:.5,a=n===gt||n===pn?-1:1,h=n===pn||n===dt?"x":"y",f=n===gt||n===mt?Xr:Hr;function c(_){
var p=i??(t.ticks?t.ticks.apply(t,e):t.domain()),g=r??(t.tickFormat?t.tickFormat.apply(t,e):Br),m=Math.max(o,0)+s,y=t.range(),
w=+y[0]+l,v=+y[y.length-1]+l,x=(t.bandwidth?Yr:Vr)(t.copy(),l),M=_.selection?_.selection():_,b=M.selectAll(".domain").data(
[null]),A=M.selectAll(".tick").data(p,t).order(),z=A.exit(),q=A.enter().append("g").attr("class","tick"),P=A.select("lin\
e"),F=A.select("text");b=b.merge(b.enter().insert("path",".tick").attr("class","domain").attr("stroke","currentColor")),
A=A.merge(q),P=P.merge(q.append("line").attr("stroke","currentColor").attr(h+"2",a*o)),F=F.merge(q.append("text").attr("\
fill","currentColor").attr(h,a*m).attr("dy",n===gt?"0em":n===mt?"0.71em":"0.32em")),_!==M&&(b=b.transition(_),A=A.transition(
_),P=P.transition(_),F=F.transition(_),z=z.transition(_).attr("opacity",Ge).attr("transform",function(d){return isFinite(
d=x(d))?f(d+l):this.getAttribute("transform")}),q.attr("opacity",Ge).attr("transform",function(d){var $=this.parentNode.
__axis;return f(($&&isFinite($=$(d))?$:x(d))+l)})),z.remove(),b.attr("d",n===pn||n===dt?u?"M"+a*u+","+w+"H"+l+"V"+v+"H"+
a*u:"M"+l+","+w+"V"+v:u?"M"+w+","+a*u+"V"+l+"H"+v+"V"+a*u:"M"+w+","+l+"H"+v),A.attr("opacity",1).attr("transform",function(d){
return f(x(d)+l)}),P.attr(h+"2",a*o),F.attr(h,a*m).text(g),M.filter(Ur).attr("fill","none").attr("font-size",10).attr("f\
ont-family","sans-serif").attr("text-anchor",n===dt?"start":n===pn?"end":"middle"),M.each(function(){this.__axis=x})}return c.
scale=function(_){return arguments.length?(t=_,c):t},c.ticks=function(){return e=Array.from(arguments),c},c.tickArguments=
function(_){return arguments.length?(e=_==null?[]:Array.from(_),c):e.slice()},c.tickValues=function(_){return arguments.
length?(i=_==null?null:Array.from(_),c):i&&i.slice()},c.tickFormat=function(_){return arguments.length?(r=_,c):r},c.tickSize=
function(_){return arguments.length?(o=u=+_,c):o},c.tickSizeInner=function(_){return arguments.length?(o=+_,c):o},c.tickSizeOuter=
function(_){return arguments.length?(u=+_,c):u},c.tickPadding=function(_){return arguments.length?(s=+_,c):s},c.offset=function(_){
return arguments.length?(l=+_,c):l},c}function Ze(n){return We(mt,n)}function Ke(n){return We(pn,n)}var yt="http://www.w3.org/1999/xhtml",Je={svg:"http://www.w3.org/2000/svg",xhtml:yt,xlink:"http://www.w3.org/1999/xlink",
xml:"http://www.w3.org/XML/1998/namespace",xmlns:"http://www.w3.org/2000/xmlns/"};function je(n){var t=n+="",e=t.indexOf(
":");return e>=0&&(t=n.slice(0,e))!=="xmlns"&&(n=n.slice(e+1)),Je.hasOwnProperty(t)?{space:Je[t],local:n}:n}function Qr(n){
return function(){var t=this.ownerDocument,e=this.namespaceURI;return e===yt&&t.documentElement.namespaceURI===yt?t.createElement(
n):t.createElementNS(e,n)}}function Gr(n){return function(){return this.ownerDocument.createElementNS(n.space,n.local)}}
function wt(n){var t=je(n);return(t.local?Gr:Qr)(t)}function Wr(){}function ni(n){return n==null?Wr:function(){return this.
querySelector(n)}}function Zr(n){typeof n!="function"&&(n=ni(n));for(var t=this._groups,e=t.length,i=new Array(e),r=0;r<
e;++r)for(var o=t[r],u=o.length,s=i[r]=new Array(u),l,a,h=0;h<u;++h)(l=o[h])&&(a=n.call(l,l.__data__,h,o))&&("__data__"in
l&&(a.__data__=l.__data__),s[h]=a);return new S(i,this._parents)}function Kr(n){return n==null?[]:Array.isArray(n)?n:Array.
from(n)}function Jr(){return[]}function jr(n){return n==null?Jr:function(){return this.querySelectorAll(n)}}function no(n){
return function(){return Kr(n.apply(this,arguments))}}function to(n){typeof n=="function"?n=no(n):n=jr(n);for(var t=this.
_groups,e=t.length,i=[],r=[],o=0;o<e;++o)for(var u=t[o],s=u.length,l,a=0;a<s;++a)(l=u[a])&&(i.push(n.call(l,l.__data__,a,
u)),r.push(l));return new S(i,r)}function eo(n){return function(){return this.matches(n)}}function ti(n){return function(t){
return t.matches(n)}}var io=Array.prototype.find;function ro(n){return function(){return io.call(this.children,n)}}function oo(){
return this.firstElementChild}function uo(n){return this.select(n==null?oo:ro(typeof n=="function"?n:ti(n)))}var so=Array.
prototype.filter;function ao(){return Array.from(this.children)}function lo(n){return function(){return so.call(this.children,
n)}}function fo(n){return this.selectAll(n==null?ao:lo(typeof n=="function"?n:ti(n)))}function co(n){typeof n!="function"&&
(n=eo(n));for(var t=this._groups,e=t.length,i=new Array(e),r=0;r<e;++r)for(var o=t[r],u=o.length,s=i[r]=[],l,a=0;a<u;++a)
(l=o[a])&&n.call(l,l.__data__,a,o)&&s.push(l);return new S(i,this._parents)}function ei(n){return new Array(n.length)}function ho(){
return new S(this._enter||this._groups.map(ei),this._parents)}function Fn(n,t){this.ownerDocument=n.ownerDocument,this.namespaceURI=
n.namespaceURI,this._next=null,this._parent=n,this.__data__=t}Fn.prototype={constructor:Fn,appendChild:function(n){return this.
_parent.insertBefore(n,this._next)},insertBefore:function(n,t){return this._parent.insertBefore(n,t)},querySelector:function(n){
return this._parent.querySelector(n)},querySelectorAll:function(n){return this._parent.querySelectorAll(n)}};function _o(n){
return function(){return n}}function po(n,t,e,i,r,o){for(var u=0,s,l=t.length,a=o.length;u<a;++u)(s=t[u])?(s.__data__=o[u],
i[u]=s):e[u]=new Fn(n,o[u]);for(;u<l;++u)(s=t[u])&&(r[u]=s)}function go(n,t,e,i,r,o,u){var s,l,a=new Map,h=t.length,f=o.
length,c=new Array(h),_;for(s=0;s<h;++s)(l=t[s])&&(c[s]=_=u.call(l,l.__data__,s,t)+"",a.has(_)?r[s]=l:a.set(_,l));for(s=
0;s<f;++s)_=u.call(n,o[s],s,o)+"",(l=a.get(_))?(i[s]=l,l.__data__=o[s],a.delete(_)):e[s]=new Fn(n,o[s]);for(s=0;s<h;++s)
(l=t[s])&&a.get(c[s])===l&&(r[s]=l)}function mo(n){return n.__data__}function yo(n,t){if(!arguments.length)return Array.
from(this,mo);var e=t?go:po,i=this._parents,r=this._groups;typeof n!="function"&&(n=_o(n));for(var o=r.length,u=new Array(
o),s=new Array(o),l=new Array(o),a=0;a<o;++a){var h=i[a],f=r[a],c=f.length,_=xo(n.call(h,h&&h.__data__,a,i)),p=_.length,
g=s[a]=new Array(p),m=u[a]=new Array(p),y=l[a]=new Array(c);e(h,f,g,m,y,_,t);for(var w=0,v=0,x,M;w<p;++w)if(x=g[w]){for(w>=
v&&(v=w+1);!(M=m[v])&&++v<p;);x._next=M||null}}return u=new S(u,i),u._enter=s,u._exit=l,u}function xo(n){return typeof n==
"object"&&"length"in n?n:Array.from(n)}function wo(){return new S(this._exit||this._groups.map(ei),this._parents)}function vo(n,t,e){
var i=this.enter(),r=this,o=this.exit();return typeof n=="function"?(i=n(i),i&&(i=i.selection())):i=i.append(n+""),t!=null&&
(r=t(r),r&&(r=r.selection())),e==null?o.remove():e(o),i&&r?i.merge(r).order():r}function bo(n){for(var t=n.selection?n.selection():
n,e=this._groups,i=t._groups,r=e.length,o=i.length,u=Math.min(r,o),s=new Array(r),l=0;l<u;++l)for(var a=e[l],h=i[l],f=a.
length,c=s[l]=new Array(f),_,p=0;p<f;++p)(_=a[p]||h[p])&&(c[p]=_);for(;l<r;++l)s[l]=e[l];return new S(s,this._parents)}function Mo(){
for(var n=this._groups,t=-1,e=n.length;++t<e;)for(var i=n[t],r=i.length-1,o=i[r],u;--r>=0;)(u=i[r])&&(o&&u.compareDocumentPosition(
o)^4&&o.parentNode.insertBefore(u,o),o=u);return this}function ko(n){n||(n=No);function t(f,c){return f&&c?n(f.__data__,
c.__data__):!f-!c}for(var e=this._groups,i=e.length,r=new Array(i),o=0;o<i;++o){for(var u=e[o],s=u.length,l=r[o]=new Array(
s),a,h=0;h<s;++h)(a=u[h])&&(l[h]=a);l.sort(t)}return new S(r,this._parents).order()}function No(n,t){return n<t?-1:n>t?1:
n>=t?0:NaN}function Ao(){var n=arguments[0];return arguments[0]=this,n.apply(null,arguments),this}function To(){return Array.
from(this)}function So(){for(var n=this._groups,t=0,e=n.length;t<e;++t)for(var i=n[t],r=0,o=i.length;r<o;++r){var u=i[r];
if(u)return u}return null}function $o(){let n=0;for(let t of this)++n;return n}function Eo(){return!this.node()}function Ro(n){
for(var t=this._groups,e=0,i=t.length;e<i;++e)for(var r=t[e],o=0,u=r.length,s;o<u;++o)(s=r[o])&&n.call(s,s.__data__,o,r);
return this}function Co(n){return function(){this.removeAttribute(n)}}function qo(n){return function(){this.removeAttributeNS(
n.space,n.local)}}function Po(n,t){return function(){this.setAttribute(n,t)}}function Oo(n,t){return function(){this.setAttributeNS(
n.space,n.local,t)}}function Io(n,t){return function(){var e=t.apply(this,arguments);e==null?this.removeAttribute(n):this.
setAttribute(n,e)}}function Lo(n,t){return function(){var e=t.apply(this,arguments);e==null?this.removeAttributeNS(n.space,
n.local):this.setAttributeNS(n.space,n.local,e)}}function Do(n,t){var e=je(n);if(arguments.length<2){var i=this.node();return e.
local?i.getAttributeNS(e.space,e.local):i.getAttribute(e)}return this.each((t==null?e.local?qo:Co:typeof t=="function"?e.
local?Lo:Io:e.local?Oo:Po)(e,t))}function ii(n){return n.ownerDocument&&n.ownerDocument.defaultView||n.document&&n||n.defaultView}
function zo(n){return function(){this.style.removeProperty(n)}}function Fo(n,t,e){return function(){this.style.setProperty(
n,t,e)}}function Bo(n,t,e){return function(){var i=t.apply(this,arguments);i==null?this.style.removeProperty(n):this.style.
setProperty(n,i,e)}}function Xo(n,t,e){return arguments.length>1?this.each((t==null?zo:typeof t=="function"?Bo:Fo)(n,t,e??
"")):Ho(this.node(),n)}function Ho(n,t){return n.style.getPropertyValue(t)||ii(n).getComputedStyle(n,null).getPropertyValue(
t)}function Vo(n){return function(){delete this[n]}}function Yo(n,t){return function(){this[n]=t}}function Uo(n,t){return function(){
var e=t.apply(this,arguments);e==null?delete this[n]:this[n]=e}}function Qo(n,t){return arguments.length>1?this.each((t==
null?Vo:typeof t=="function"?Uo:Yo)(n,t)):this.node()[n]}function ri(n){return n.trim().split(/^|\s+/)}function vt(n){return n.
classList||new oi(n)}function oi(n){this._node=n,this._names=ri(n.getAttribute("class")||"")}oi.prototype={add:function(n){
var t=this._names.indexOf(n);t<0&&(this._names.push(n),this._node.setAttribute("class",this._names.join(" ")))},remove:function(n){
var t=this._names.indexOf(n);t>=0&&(this._names.splice(t,1),this._node.setAttribute("class",this._names.join(" ")))},contains:function(n){
return this._names.indexOf(n)>=0}};function ui(n,t){for(var e=vt(n),i=-1,r=t.length;++i<r;)e.add(t[i])}function si(n,t){
for(var e=vt(n),i=-1,r=t.length;++i<r;)e.remove(t[i])}function Go(n){return function(){ui(this,n)}}function Wo(n){return function(){
si(this,n)}}function Zo(n,t){return function(){(t.apply(this,arguments)?ui:si)(this,n)}}function Ko(n,t){var e=ri(n+"");
if(arguments.length<2){for(var i=vt(this.node()),r=-1,o=e.length;++r<o;)if(!i.contains(e[r]))return!1;return!0}return this.
each((typeof t=="function"?Zo:t?Go:Wo)(e,t))}function Jo(){this.textContent=""}function jo(n){return function(){this.textContent=
n}}function nu(n){return function(){var t=n.apply(this,arguments);this.textContent=t??""}}function tu(n){return arguments.
length?this.each(n==null?Jo:(typeof n=="function"?nu:jo)(n)):this.node().textContent}function eu(){this.innerHTML=""}function iu(n){
return function(){this.innerHTML=n}}function ru(n){return function(){var t=n.apply(this,arguments);this.innerHTML=t??""}}
function ou(n){return arguments.length?this.each(n==null?eu:(typeof n=="function"?ru:iu)(n)):this.node().innerHTML}function uu(){
this.nextSibling&&this.parentNode.appendChild(this)}function su(){return this.each(uu)}function au(){this.previousSibling&&
this.parentNode.insertBefore(this,this.parentNode.firstChild)}function lu(){return this.each(au)}function fu(n){var t=typeof n==
"function"?n:wt(n);return this.select(function(){return this.appendChild(t.apply(this,arguments))})}function cu(){return null}
function hu(n,t){var e=typeof n=="function"?n:wt(n),i=t==null?cu:typeof t=="function"?t:ni(t);return this.select(function(){
return this.insertBefore(e.apply(this,arguments),i.apply(this,arguments)||null)})}function _u(){var n=this.parentNode;n&&
n.removeChild(this)}function pu(){return this.each(_u)}function gu(){var n=this.cloneNode(!1),t=this.parentNode;return t?
t.insertBefore(n,this.nextSibling):n}function du(){var n=this.cloneNode(!0),t=this.parentNode;return t?t.insertBefore(n,
this.nextSibling):n}function mu(n){return this.select(n?du:gu)}function yu(n){return arguments.length?this.property("__d\
ata__",n):this.node().__data__}function xu(n){return function(t){n.call(this,t,this.__data__)}}function wu(n){return n.trim().
split(/^|\s+/).map(function(t){var e="",i=t.indexOf(".");return i>=0&&(e=t.slice(i+1),t=t.slice(0,i)),{type:t,name:e}})}
function vu(n){return function(){var t=this.__on;if(t){for(var e=0,i=-1,r=t.length,o;e<r;++e)o=t[e],(!n.type||o.type===n.
type)&&o.name===n.name?this.removeEventListener(o.type,o.listener,o.options):t[++i]=o;++i?t.length=i:delete this.__on}}}
function bu(n,t,e){return function(){var i=this.__on,r,o=xu(t);if(i){for(var u=0,s=i.length;u<s;++u)if((r=i[u]).type===n.
type&&r.name===n.name){this.removeEventListener(r.type,r.listener,r.options),this.addEventListener(r.type,r.listener=o,r.
options=e),r.value=t;return}}this.addEventListener(n.type,o,e),r={type:n.type,name:n.name,value:t,listener:o,options:e},
i?i.push(r):this.__on=[r]}}function Mu(n,t,e){var i=wu(n+""),r,o=i.length,u;if(arguments.length<2){var s=this.node().__on;
if(s){for(var l=0,a=s.length,h;l<a;++l)for(r=0,h=s[l];r<o;++r)if((u=i[r]).type===h.type&&u.name===h.name)return h.value}
return}for(s=t?bu:vu,r=0;r<o;++r)this.each(s(i[r],t,e));return this}function ai(n,t,e){var i=ii(n),r=i.CustomEvent;typeof r==
"function"?r=new r(t,e):(r=i.document.createEvent("Event"),e?(r.initEvent(t,e.bubbles,e.cancelable),r.detail=e.detail):r.
initEvent(t,!1,!1)),n.dispatchEvent(r)}function ku(n,t){return function(){return ai(this,n,t)}}function Nu(n,t){return function(){
return ai(this,n,t.apply(this,arguments))}}function Au(n,t){return this.each((typeof t=="function"?Nu:ku)(n,t))}function*Tu(){
for(var n=this._groups,t=0,e=n.length;t<e;++t)for(var i=n[t],r=0,o=i.length,u;r<o;++r)(u=i[r])&&(yield u)}var li=[null];
function S(n,t){this._groups=n,this._parents=t}function Su(){return new S([[document.documentElement]],li)}function $u(){
return this}S.prototype=Su.prototype={constructor:S,select:Zr,selectAll:to,selectChild:uo,selectChildren:fo,filter:co,data:yo,
enter:ho,exit:wo,join:vo,merge:bo,selection:$u,order:Mo,sort:ko,call:Ao,nodes:To,node:So,size:$o,empty:Eo,each:Ro,attr:Do,
style:Xo,property:Qo,classed:Ko,text:tu,html:ou,raise:su,lower:lu,append:fu,insert:hu,remove:pu,clone:mu,datum:yu,on:Mu,
dispatch:Au,[Symbol.iterator]:Tu};function bt(n){return typeof n=="string"?new S([[document.querySelector(n)]],[document.
documentElement]):new S([[n]],li)}function fi(n){return bt(wt(n).call(document.documentElement))}var Eu=0;function Ru(){
return new xt}function xt(){this._="@"+(++Eu).toString(36)}xt.prototype=Ru.prototype={constructor:xt,get:function(n){for(var t=this.
_;!(t in n);)if(!(n=n.parentNode))return;return n[t]},set:function(n,t){return n[this._]=t},remove:function(n){return this.
_ in n&&delete n[this._]},toString:function(){return this._}};function Cu(n){let t;for(;t=n.sourceEvent;)n=t;return n}function ci(n,t){
if(n=Cu(n),t===void 0&&(t=n.currentTarget),t){var e=t.ownerSVGElement||t;if(e.createSVGPoint){var i=e.createSVGPoint();return i.
x=n.clientX,i.y=n.clientY,i=i.matrixTransform(t.getScreenCTM().inverse()),[i.x,i.y]}if(t.getBoundingClientRect){var r=t.
getBoundingClientRect();return[n.clientX-r.left-t.clientLeft,n.clientY-r.top-t.clientTop]}}return[n.pageX,n.pageY]}return mi(qu);})();
