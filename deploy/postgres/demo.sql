-- The demo profile has a database of its own, so that what it plays is never taken for what was traded.
CREATE DATABASE linesman_demo;
