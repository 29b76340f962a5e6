"""What figures show, whoever draws them: PNGs by `plots`, the page's charts by `page/charts`.

A chapter is one optimizer's results, as arrays; `questions` has the words of each figure, `measures` what it draws,
`answers` what that comes to, in a sentence.
"""
