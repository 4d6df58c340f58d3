"""Data sets with known answers: groceries from a log, films and a Chinese shop from people's judgements."""
