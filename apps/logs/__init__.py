"""The log of questions and answers (`sagechain logs`): a SQLite file of the user, off until it is switched on."""
