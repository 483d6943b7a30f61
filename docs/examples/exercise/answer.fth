\ Exercise 3: define gcd ( a b -- n ) and fact ( n -- n! )
: gcd begin dup while swap over mod repeat drop ;
: fact dup 0= if drop 1 else 1 swap 1 + 1 do i * loop then ;
