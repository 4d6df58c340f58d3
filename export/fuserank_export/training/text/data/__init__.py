"""Training data of the text models: labelled queries, their candidates, and the rows made of them."""
