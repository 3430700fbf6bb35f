"""What one member returns is the next one's data; what is falsy ends the chain."""

import sys

from socketify_mw import App, middleware

PRICES = {"tea": 3, "coffee": 4}


def find_price(res, req, data=None):
    item = req.get_parameter("item")
    if item not in PRICES:
        res.write_status(404).end({"error": f"there is no {item}"})
        return None
    return {"item": item, "price": PRICES[item]}


def count(res, req, order):
    number = req.get_query("count") or "1"
    if not number.isascii() or not number.isdigit():
        res.write_status(400).end({"error": "count is a number"})
        return None
    return {**order, "count": int(number)}


def answer(res, req, order):
    res.end({**order, "total": order["price"] * order["count"]})


read_order = middleware(find_price, count)  # a member like others
app = App()
app.get("/order/:item", middleware(read_order, answer))
port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
app.listen(port, lambda it: print(f"http://localhost:{it.port}/", flush=True))
app.run()
